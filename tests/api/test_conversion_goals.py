"""Conversion goals over HTTP: define, edit, try out on recent events, and explain."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from api.routes import trying
from app.domain.event import Event
from app.domain.preview import preview
from tests.api.conftest import World

SIGNUP = {
    "name": "Trial Signup",
    "eventType": "form_submit",
    "urlPattern": "/signup/complete",
    "conditions": {"plan": "pro"},
}


def event(number: int, plan: str = "pro", path: str = "/signup/complete", project: str = "shop") -> Event:
    return Event(
        type="form_submit",
        project=project,
        id=f"e{number}",
        occurred_at=1_800_000_000_000 + number,
        received_at=1_800_000_000_000 + number,
        url=f"https://example.com{path}",
        visitor_id="v",
        data=f'{{"plan": "{plan}", "seats": {number}}}'.encode(),
    )


async def create(world: World, body: dict[str, Any] | None = None) -> dict[str, Any]:
    response = await world.call("POST", "/api/conversion-goals", json=body or SIGNUP)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_a_definition_gets_a_metric_from_its_name(world: World) -> None:
    made = await create(world)
    assert (made["metric"], made["status"], made["counting"], made["live"]) == (
        "trial_signup",
        "active",
        "every_event",
        True,
    )
    (listed,) = (await world.call("GET", "/api/conversion-goals")).json()
    assert {name: listed[name] for name in SIGNUP} == SIGNUP
    assert listed["conversions"] == 0


async def test_a_definition_that_cannot_count_is_refused_where_it_is_wrong(world: World) -> None:
    response = await world.call(
        "POST", "/api/conversion-goals", json={**SIGNUP, "conditions": {"plan": {"$gtee": 5}}, "urlPattern": "/a("}
    )
    assert response.status_code == 422
    pointers = [error["pointer"] for error in response.json()["errors"]]
    assert "/urlPattern" in pointers
    assert any(pointer.startswith("/conditions/plan") for pointer in pointers)


async def test_pausing_is_an_edit(world: World) -> None:
    made = await create(world)
    paused = await world.call("PATCH", "/api/conversion-goals", json={"id": made["id"], "status": "paused"})
    assert paused.json()["status"] == "paused"
    assert paused.json()["revision"] > made["revision"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"vip": True}, {"vip": 1}),
        ({"seats": {"$in": [0, 1]}}, {"seats": {"$in": [False, 1]}}),
        ({"size": {"width": 1, "height": 2}}, {"size": {"height": 2, "width": 1}}),
    ],
)
async def test_an_edit_counts_as_one_where_it_asks_something_else_of_events(
    world: World, before: object, after: object
) -> None:
    made = await create(world, {**SIGNUP, "conditions": before})
    edit = {"id": made["id"], "conditions": after}
    edited, again = [(await world.call("PATCH", "/api/conversion-goals", json=edit)).json() for _ in range(2)]
    assert json.dumps(edited["conditions"]) == json.dumps(after)
    assert made["revision"] < edited["revision"] == again["revision"]
    (listed,) = (await world.call("GET", "/api/conversion-goals")).json()
    assert json.dumps(listed["conditions"]) == json.dumps(after)


async def test_a_preview_says_how_many_would_count_and_why_others_would_not(world: World) -> None:
    world.recent = [event(1), event(2, "free"), event(3), event(4, project="other")]
    shown = (await world.call("POST", "/api/conversion-goals/preview", json=SIGNUP)).json()
    assert (shown["seen"], shown["ofType"], shown["matched"]) == (3, 3, 2)
    assert [sample["id"] for sample in shown["samples"]] == ["e3", "e1"]
    assert "free" in shown["missed"][0]["why"]


async def test_a_preview_of_an_edit_says_what_is_gained_and_lost(world: World) -> None:
    world.recent = [event(1), event(2, "free"), event(3, "team")]
    made = await create(world)
    change = {"id": made["id"], "conditions": {"plan": {"$in": ["free", "team"]}}}
    shown = (await world.call("POST", "/api/conversion-goals/preview", json=change)).json()
    assert (shown["gained"], shown["lost"], shown["unchanged"]) == (2, 1, 0)


async def test_a_costly_preview_takes_no_turn_of_the_api_and_ends_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def noting(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return preview(*args)

    monkeypatch.setattr(trying, "preview", noting)
    world.recent = [event(number) for number in range(1_000)]
    shown = (await world.call("POST", "/api/conversion-goals/preview", json=SIGNUP)).json()
    assert (shown["seen"], shown["samples"][0]["id"]) == (1_000, "e999")
    monkeypatch.setattr(trying, "PREVIEW_SECONDS", 0.0)
    shown = (await world.call("POST", "/api/conversion-goals/preview", json=SIGNUP)).json()
    assert (shown["seen"], shown["samples"][0]["id"]) == (trying.LEAST_SEEN, "e999")
    await create(world)
    assert len(threads) == 3
    assert threading.main_thread() not in threads


async def test_a_near_miss_is_named(world: World) -> None:
    world.recent = [event(1, path="/signup/complete/")]
    shown = (await world.call("POST", "/api/conversion-goals/preview", json=SIGNUP)).json()
    assert any("with a trailing slash" in warning for warning in shown["warnings"])


async def test_a_misspelt_type_is_told_when_it_is_saved(world: World) -> None:
    world.recent = [event(1)]
    made = await create(world, {**SIGNUP, "eventType": "form-submit"})
    assert any('Did you mean "form_submit"' in warning for warning in made["warnings"])


async def test_a_definition_that_leaves_nothing_out_is_told(world: World) -> None:
    world.recent = [event(1), event(2)]
    (told,) = (await create(world))["warnings"]
    assert told.startswith("Each of the last 2 events of this type would count")
    previewed = await world.call("POST", "/api/conversion-goals/preview", json=SIGNUP)
    assert previewed.json()["warnings"] == [told]
    for counting in ("every_event", "once_per_visitor"):
        form = {"name": f"Any form {counting}", "eventType": "form_submit", "counting": counting}
        assert (await create(world, form))["warnings"] == []


async def test_an_edit_of_what_counts_is_warned_of_like_its_creation(world: World) -> None:
    world.recent = [event(1), event(2, "free")]
    made = await create(world)
    edit = {"id": made["id"], "conditions": {"plan": "no such plan"}}
    warnings = (await world.call("PATCH", "/api/conversion-goals", json=edit)).json()["warnings"]
    assert warnings[0] == "None of the last 2 events of this type would count."
    renamed = {"id": made["id"], "name": "Renamed"}
    assert (await world.call("PATCH", "/api/conversion-goals", json=renamed)).json()["warnings"] == []


async def test_a_condition_that_nothing_can_fulfil_is_told_when_it_is_saved(world: World) -> None:
    never = {**SIGNUP, "conditions": {"seats": {"$gt": 5, "$lt": 3}}}
    told = ["No event can ever count: seats is more than 5 and less than 3."]
    assert (await create(world, never))["warnings"] == told
    previewed = await world.call("POST", "/api/conversion-goals/preview", json=never)
    assert previewed.json()["warnings"] == told


async def test_an_explanation_has_every_clause_with_its_verdict(world: World) -> None:
    await create(world)
    body = {"event": {"type": "form_submit", "url": "https://example.com/signup/complete", "data": {"plan": "free"}}}
    (verdict,) = (await world.call("POST", "/api/conversion-goals/explain", json=body)).json()["verdicts"]
    assert verdict["matches"] is False
    assert [clause["holds"] for clause in verdict["clauses"]] == [True, True, False]
    assert 'found "free"' in verdict["why"]


async def test_an_explanation_notes_what_is_decided_by_more_than_clauses(world: World) -> None:
    await create(world, {**SIGNUP, "status": "paused"})
    whole = {"type": "form_submit", "id": "e1", "url": "/signup/complete", "data": {"plan": "pro"}}

    async def explained(**fields: Any) -> dict[str, Any]:
        response = await world.call("POST", "/api/conversion-goals/explain", json={"event": {**whole, **fields}})
        found: dict[str, Any] = response.json()
        return found

    plain = await explained()
    assert plain["notes"] == []
    assert plain["verdicts"][0]["why"] == "every clause holds, but the conversion goal is paused: nothing counts by it"
    assert (await explained(id=None))["notes"] == ["It has no id: sent twice, it counts twice."]
    assert "too old" in (await explained(timestamp="2020-01-01T00:00:00Z"))["notes"][0]
    assert "in the future" in (await explained(timestamp="2100-01-01T00:00:00Z"))["notes"][0]
    back = await explained(type="$retract", eventType="form_submit", retracts="e0")
    assert back["notes"] == [
        'It takes back the event "e0", where that was counted; the clauses are held against its fields.'
    ]
    assert back["event"]["corrects"] == "e0"


@pytest.mark.parametrize(
    ("timestamp", "code", "said"),
    [
        (1_760_000_000_000_000, "in_the_future", "microseconds or finer, epoch milliseconds are expected"),
        (1_760_000_000_000_000_000, "in_the_future", "epoch milliseconds are expected"),
        ("9999-12-31T23:59:59-00:01", "in_the_future", "timestamp: in the future"),
        ("0001-01-01T00:00:00+00:01", "too_old", "days before"),
    ],
)
async def test_a_moment_that_no_calendar_has_is_refused_with_its_reason(
    world: World, timestamp: object, code: str, said: str
) -> None:
    body = {"event": {"type": "x", "timestamp": timestamp}}
    answer = await world.call("POST", "/api/conversion-goals/explain", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("timestamp", ["9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z"])
async def test_every_moment_of_the_calendar_is_explained(world: World, timestamp: str) -> None:
    body = {"event": {"type": "x", "timestamp": timestamp}}
    answer = await world.call("POST", "/api/conversion-goals/explain", json=body)
    assert answer.json()["event"]["occurredAt"] == timestamp


async def test_what_was_seen_lately_is_listed_with_what_counts_by_it(world: World) -> None:
    made = await create(world)
    world.recent = [event(number) for number in range(3)]
    (seen,) = (await world.call("GET", "/api/event-types")).json()
    assert (seen["type"], seen["count"], seen["conversionGoalIds"]) == ("form_submit", 3, [made["id"]])
    assert seen["paths"] == [{"path": "/signup/complete", "count": 3}]
    assert {p["path"] for p in seen["properties"]} == {"plan", "seats"}
    assert seen["lastAt"] == "2027-01-15T08:00:00.002Z"
    await world.call("PATCH", "/api/conversion-goals", json={"id": made["id"], "status": "archived"})
    (seen,) = (await world.call("GET", "/api/event-types")).json()
    assert seen["conversionGoalIds"] == []


async def test_a_place_in_the_audit_log_that_no_entry_has_is_refused(world: World) -> None:
    statuses = [
        (await world.call("GET", "/api/audit", params={"before": before})).status_code
        for before in (2**63 - 1, 2**63, 10**40, 0)
    ]
    assert statuses == [200, 422, 422, 422]


async def test_what_an_older_version_stored_and_nobody_can_be_sent_is_listed_as_text_and_can_be_mended(
    world: World,
) -> None:
    good = await create(world)
    body = {**SIGNUP, "metric": "emoji", "conditions": {"\ud83d": {"$in": ["\ud83d", "pro", 2**70]}}}
    await asyncio.to_thread(world.definitions.create, "shop", "conversion_goal", "stored_before", body, "key")
    bad_goal = {"metric": "\udc00", "target": 1, "deadline": "2036-01-01"}
    await asyncio.to_thread(world.definitions.create, "shop", "goal", "goal_before", bad_goal, "key")

    listed = {one["id"]: one for one in (await world.call("GET", "/api/conversion-goals")).json()}
    assert "problem" not in listed[good["id"]]
    assert listed["stored_before"]["conditions"] == {"\\ud83d": {"$in": ["\\ud83d", "pro", 2**70]}}
    assert listed["stored_before"]["problem"] == "cannot be compiled"
    (goal,) = (await world.call("GET", "/api/goals")).json()
    assert (goal["metric"], goal["problem"]) == ("\\udc00", "cannot be compiled")
    for page in ("/conversion-goals", "/conversion-goals/stored_before"):
        assert (await world.call("GET", page, headers={"accept": "text/html"})).status_code == 200

    mended = {"id": "stored_before", "conditions": {"plan": "pro"}}
    assert (await world.call("PATCH", "/api/conversion-goals", json=mended)).status_code == 200
    listed = {one["id"]: one for one in (await world.call("GET", "/api/conversion-goals")).json()}
    assert "problem" not in listed["stored_before"]
    entry = (await world.call("GET", "/api/audit")).json()["entries"][0]
    assert list(entry["before"]["conditions"]) == ["\\ud83d"]


async def test_changes_are_in_the_audit_log(world: World) -> None:
    made = await create(world)
    await world.call("DELETE", f"/api/conversion-goals?id={made['id']}")
    entries = (await world.call("GET", "/api/audit")).json()["entries"]
    assert [(one["kind"], one["action"]) for one in entries] == [
        ("conversion_goal", "delete"),
        ("conversion_goal", "create"),
        ("api_key", "create"),
        ("project", "create"),
    ]
    assert entries[0]["before"]["name"] == "Trial Signup"
    others = (await world.call("GET", "/api/audit", "other")).json()["entries"]
    assert [one["kind"] for one in others] == ["api_key", "project"]


async def test_a_metric_that_is_taken_away_is_the_names_again(world: World) -> None:
    made = await create(world, {**SIGNUP, "metric": "other"})
    edited = await world.call("PATCH", "/api/conversion-goals", json={"id": made["id"], "metric": None})
    assert edited.json()["metric"] == "trial_signup"


async def test_a_long_list_comes_in_pages(world: World) -> None:
    for number in range(5):
        body = {"name": f"n{number}", "eventType": "a"}
        await asyncio.to_thread(world.definitions.create, "shop", "conversion_goal", f"cg_{number}", body, "test")
    whole = await world.call("GET", "/api/conversion-goals")
    assert "link" not in whole.headers
    path, seen = "/api/conversion-goals?limit=2", []
    while path:
        page = await world.call("GET", path)
        seen += [one["id"] for one in page.json()]
        await asyncio.to_thread(world.definitions.delete, "shop", "conversion_goal", seen[-1], "test")
        path = page.links["next"]["url"] if "next" in page.links else ""
    assert seen == [one["id"] for one in whole.json()]
    assert (await world.call("GET", "/api/conversion-goals?limit=1001")).status_code == 422


async def test_what_is_saved_is_answered_although_the_log_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    services = world.client._transport.app.state.services  # type: ignore[attr-defined]  # of the ASGI transport
    monkeypatch.setattr(type(services.recent), "recent", hang)
    monkeypatch.setattr(trying, "WARNINGS_SECONDS", 0.1)
    assert (await create(world))["warnings"] == []
