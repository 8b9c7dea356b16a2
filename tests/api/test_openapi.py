"""The OpenAPI document as a product: every example runs, every request shape agrees with the domain, and another
project's ids answer exactly like missing ones in every operation."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from api.schemas import AlertIn, ConversionGoalIn, GoalIn
from app.domain import alerting, conversion_goal, goal, goal_definition
from tests.api.conftest import World


async def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = (await world.client.get("/openapi.json")).json()
    return found


async def operations(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    paths = (await document(world))["paths"]
    return [(method, path, said) for path, methods in paths.items() for method, said in methods.items()]


def example_of(said: dict[str, Any], components: dict[str, Any]) -> dict[str, Any] | None:
    if "requestBody" not in said:
        return None
    schema = said["requestBody"]["content"]["application/json"]["schema"]
    schema = components[schema["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = schema["examples"][0]
    return found


async def make_all(world: World, project: str) -> tuple[str, str, str]:
    body = {"metric": f"metric-of-{project}", "target": 5, "deadline": "2099-12-31", "unit": f"unit-of-{project}"}
    counting = {"name": f"name-of-{project}", "eventType": f"type-of-{project}"}
    made = await world.call("POST", "/api/goals", project, json=body)
    counted = await world.call("POST", "/api/conversion-goals", project, json=counting)
    telling = {"name": f"alert-of-{project}", "url": "https://example.com/hook", "when": "status_change"}
    told = await world.call("POST", "/api/alerts", project, json=telling)
    return made.json()["id"], counted.json()["id"], told.json()["id"]


async def call(
    world: World,
    method: str,
    path: str,
    said: dict[str, Any],
    body: Any,
    idents: tuple[str, str, str],
    project: str = "shop",
) -> Any:
    goal, counting, alert = idents
    ident = counting if "conversion-goals" in path else goal
    where = path.replace("{goal_id}", goal).replace("{experiment}", "none").replace("{number}", "1")
    where = where.replace("{alert_id}", alert)
    query = {p["name"]: ident for p in said.get("parameters", []) if p["in"] == "query" and p["name"] == "id"}
    if isinstance(body, dict) and body.get("id") == "…":
        body = {**body, "id": ident}
    options = {"json": body} if body is not None else {}
    return await world.call(method.upper(), where, params=query, **options)


async def test_every_operation_has_an_id_a_summary_and_its_errors(world: World) -> None:
    found = await operations(world)
    idents = [said["operationId"] for _, _, said in found]
    assert len(set(idents)) == len(idents) >= 25
    for method, path, said in found:
        assert said["summary"], path
        assert said["description"], path
        good = said["responses"].get("200") or said["responses"]["201"]
        assert good["content"], f"{method} {path} says nothing of its answer"
        if path.startswith("/api/"):
            assert said["security"] == [{"ApiKey": []}]
            for status in ("401", "429", "500", "503"):
                assert "application/problem+json" in said["responses"][status]["content"], (path, status)


async def test_every_post_that_changes_something_takes_an_idempotency_key(world: World) -> None:
    paths = (await world.client.get("/openapi.json")).json()["paths"]
    posts = {operation["post"]["operationId"]: operation["post"] for operation in paths.values() if "post" in operation}
    without = {
        name
        for name, operation in posts.items()
        if all(one["name"] != "Idempotency-Key" for one in operation.get("parameters", ()))
    }
    assert without == {"previewConversionGoal", "explainEvent", "validateEvents"}


async def test_the_stream_is_told_as_events_that_go_on_after_the_last_one(world: World) -> None:
    said = (await document(world))["paths"]["/api/goals/stream"]["get"]
    assert list(said["responses"]["200"]["content"]) == ["text/event-stream"]
    assert [(one["name"], one["in"]) for one in said["parameters"]] == [("Last-Event-ID", "header")]


async def test_every_form_of_an_event_that_is_shown_is_taken(world: World) -> None:
    examples = (await document(world))["components"]["schemas"]["EventsIn"]["examples"]
    assert len(examples) >= 5
    for example in examples:
        answer = await world.call("POST", "/api/events", json=example)
        assert (answer.status_code, answer.json().get("errors")) == (200, []), (example, answer.text)


@pytest.mark.parametrize(("path", "counted"), [("/api/events", "received"), ("/api/events/validate", "valid")])
async def test_events_are_taken_in_each_media_type_that_is_listed_and_in_no_other(
    world: World, path: str, counted: str
) -> None:
    content = (await document(world))["paths"][path]["post"]["requestBody"]["content"]
    cloud_events = {"application/cloudevents+json", "application/cloudevents-batch+json"}
    assert set(content) == {"application/json", *cloud_events}
    for kind, said in content.items():
        example = said["example"]
        one = example[0] if kind == "application/cloudevents-batch+json" else example
        assert ("specversion" in one) == (kind in cloud_events)
        answer = await world.call("POST", path, content=json.dumps(example), headers={"content-type": kind})
        assert (answer.status_code, answer.json().get(counted)) == (200, 1), (kind, answer.text)
    answer = await world.call("POST", path, content=json.dumps(one), headers={"content-type": "text/plain"})
    assert answer.status_code == 415


async def test_the_fields_of_events_and_their_aliases_are_typed(world: World) -> None:
    """Each as the parser takes it: what the document forbids is refused, field by field."""
    schemas = (await document(world))["components"]["schemas"]
    fields = schemas["EventIn"]["properties"]
    aliases = {"eventType", "eventId", "messageId", "anonymousId", "properties"}
    assert {
        "type",
        "id",
        "projectKey",
        "timestamp",
        "url",
        "userId",
        "visitorId",
        "sessionId",
        "data",
    } | aliases <= set(fields)
    for name in sorted(set(fields) - {"properties"}):
        answer = await world.call("POST", "/api/events", json={"type": "a", name: [5]})
        assert answer.status_code == 422, name


async def test_every_example_runs(world: World) -> None:
    components = (await document(world))["components"]["schemas"]
    idents = await make_all(world, "shop")
    ran = 0
    order = sorted(await operations(world), key=lambda found: found[0] == "delete")
    for method, path, said in order:
        if path.endswith(("/stream", "/show")) or path == "/api/experiments/{experiment}":
            continue  # a stream without an end, and what needs a counting or an experiment that exists
        answer = await call(world, method, path, said, example_of(said, components), idents)
        assert answer.status_code in {200, 201, 503 if path == "/health/ready" else 200}, (method, path, answer.text)
        ran += 1
    assert ran >= 22


@pytest.mark.parametrize(
    ("model", "fields"),
    [(GoalIn, goal_definition.FIELDS), (ConversionGoalIn, conversion_goal.FIELDS), (AlertIn, alerting.FIELDS)],
)
def test_the_documented_fields_are_those_of_the_domain(model: Any, fields: tuple[str, ...]) -> None:
    assert set(model.model_fields) == set(fields)


@pytest.mark.parametrize(
    ("model", "field", "kind"),
    [
        (GoalIn, "aggregation", goal.Aggregation),
        (GoalIn, "period", goal.Period),
        (GoalIn, "status", goal.Status),
        (ConversionGoalIn, "counting", conversion_goal.Counting),
        (ConversionGoalIn, "status", conversion_goal.DefinitionStatus),
        (AlertIn, "status", alerting.AlertStatus),
    ],
)
def test_the_documented_choices_are_those_of_the_domain(model: Any, field: str, kind: Any) -> None:
    choices = get_args(get_args(model.model_fields[field].annotation)[0])
    assert set(choices) == {str(member) for member in kind}


async def test_projects_are_walls_in_every_operation(world: World) -> None:
    """With another project's ids each operation answers what it answers to ids that nobody has, byte for byte."""
    components = (await document(world))["components"]["schemas"]
    foreign = await make_all(world, "other")
    missing = ("goal_" + "0" * 24, "cg_" + "0" * 24, "alert_" + "0" * 24)
    tried = 0
    for method, path, said in await operations(world):
        if path.endswith("/stream") or not path.startswith("/api/"):
            continue
        bodies = [example_of(said, components)]
        if path.endswith("/explain"):
            bodies = [{"event": {"type": "a"}, "id": "…"}]
        if path.endswith("/preview"):
            bodies = [{"id": "…"}]
        if path == "/api/goals" and method in {"post", "patch"}:
            bodies.append({**(bodies[0] or {}), "conversionGoalIds": [foreign[1]]})
        for body in bodies:
            answers = []
            for idents in (foreign, missing):
                sent = json.loads(json.dumps(body).replace(foreign[1], idents[1])) if body is not None else None
                answer = await call(world, method, path, said, sent, idents)
                text = answer.text
                for ident in idents:
                    text = text.replace(ident, "ID")
                answers.append((answer.status_code, _without_what_differs(text)))
            assert answers[0] == answers[1], (method, path)
            assert "-of-other" not in answers[0][1], (method, path, "shows another project's words")
            tried += 1
    assert tried >= 20
    assert len((await world.call("GET", "/api/alerts", "other")).json()) == 1
    assert (await world.call("GET", f"/api/alerts/{foreign[2]}/deliveries", "other")).json() == []
    mine = (await world.call("GET", "/api/goals", "other")).json()
    assert [one["target"] for one in mine] == [5], "another project's goal was changed"
    assert len((await world.call("GET", "/api/conversion-goals", "other")).json()) == 1


def _without_what_differs(text: str) -> str:
    """New things have ids, moments and revisions of their own."""
    try:
        found = json.loads(text)
    except ValueError:
        return "" if "scorekeeper_" in text else text
    if isinstance(found, dict):
        for name in (
            "id",
            "createdAt",
            "periodStartsAt",
            "periods",
            "statusChanges",
            "startsAt",
            "revision",
            "expected",
            "progress",
            "entries",
            "next",
            "recent",
            "secret",
        ):
            found.pop(name, None)
        return json.dumps(found)
    return json.dumps([{k: v for k, v in one.items() if k in {"name", "metric"}} for one in found][:1])


async def test_another_project_uses_the_same_idempotency_key_for_itself(world: World) -> None:
    headers = {"idempotency-key": "same"}
    body = {"metric": "m", "target": 5, "deadline": "2099-12-31"}
    first = await world.call("POST", "/api/goals", "shop", json=body, headers=headers)
    second = await world.call("POST", "/api/goals", "other", json={**body, "target": 6}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert "idempotency-replayed" not in second.headers
