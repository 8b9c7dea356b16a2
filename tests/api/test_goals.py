"""Goals over HTTP: the contract's fields and formats, errors that name field and remedy, and walls between projects."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import Any

import pytest

from api.routes import goals as routes
from app import last_lists, reporting, showing
from app.domain.fields import goal_owner
from app.domain.increments import Increments, Position, Simple
from app.domain.moments import rfc3339
from app.domain.progress import read_counts
from app.errors import StoreUnavailable
from app.stores.sql_answers import SqlAnswers
from tests.api.conftest import World

GOAL = {"metric": "signups", "target": 500, "deadline": "2030-12-31", "description": "Q4", "unit": "signups"}
COUNTING = {"name": "Signup", "eventType": "signup", "metric": "signups"}


async def create(world: World, body: dict[str, Any] | None = None, project: str = "shop") -> dict[str, Any]:
    response = await world.call("POST", "/api/goals", project, json=body or GOAL)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def count(world: World, goal_id: str, number: int) -> None:
    position = Position("events", 0)
    (offsets,) = await world.counters.checkpoints([position])
    increments = Increments(position, 0, offsets[0], offsets[0] + number, world.now)
    increments.simple = [Simple("shop", 0, ((goal_owner(goal_id), "n"),), without_id=number)]
    await world.counters.apply([increments])


async def test_a_goal_has_the_fields_of_the_contract_as_they_were_given(world: World) -> None:
    goal = await create(world)
    (listed,) = (await world.call("GET", "/api/goals")).json()
    for shown in (goal, listed):
        assert {name: shown[name] for name in GOAL} == GOAL
        assert shown["current"] == 0
        assert isinstance(shown["current"], int)
        assert shown["status"] == "on_track"
        assert shown["statusSource"] == "auto"
        assert shown["id"] == goal["id"]
        assert shown["createdAt"].endswith("Z")


async def test_the_list_is_a_bare_array(world: World) -> None:
    assert (await world.call("GET", "/api/goals")).json() == []


@pytest.mark.parametrize(
    ("field", "moments"),
    [
        ("deadline", {"deadline": "9999-12-31T23:59:59-05:00"}),
        ("startsAt", {"startsAt": "0001-01-01T00:00:00+23:59"}),
        ("deadline", {"startsAt": "9999-12-30T00:00:00Z", "deadline": "9999-12-31T22:00:00Z", "period": "day"}),
    ],
)
async def test_a_moment_that_no_list_can_show_is_refused_and_breaks_none(
    world: World, field: str, moments: dict[str, str]
) -> None:
    good = await create(world)
    refused = await world.call("POST", "/api/goals", json={**GOAL, **moments})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"/{field}"]
    await asyncio.to_thread(world.definitions.create, "shop", "goal", "stored_before", {**GOAL, **moments}, "key")
    listed = {goal["id"]: goal for goal in (await world.call("GET", "/api/goals")).json()}
    assert listed.keys() == {good["id"], "stored_before"}
    assert listed["stored_before"]["problem"] == "cannot be compiled"
    assert (await world.call("GET", "/api/goals/stored_before")).json()["problem"] == "cannot be compiled"


async def test_a_goal_that_is_not_known_is_not_shown_as_the_first_of_the_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = await create(world)
    for path in ("/api/goals", f"/api/goals/{goal['id']}"):
        assert (await world.call("GET", path)).status_code == 200

    def be_away(*_: object) -> Any:
        raise StoreUnavailable("sql", "away")

    monkeypatch.setattr(world.definitions, "current", be_away)
    assert (await world.call("GET", f"/api/goals/{goal['id']}")).json()["stale"] is True
    assert (await world.call("GET", "/api/goals/goals")).status_code == 503


async def test_current_is_what_the_counters_say(world: World) -> None:
    goal = await create(world)
    await count(world, goal["id"], 500)
    (listed,) = (await world.call("GET", "/api/goals")).json()
    assert (listed["current"], listed["status"], listed["progress"]) == (500, "completed", 1)


async def test_a_list_that_takes_long_to_work_out_is_no_store_that_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [(await create(world))["id"] for _ in range(3)]

    def work_out_slowly(*arguments: Any) -> Any:
        time.sleep(1.2)  # the work itself: it keeps the event loop, as thousands of goals do
        return read_counts(*arguments)

    monkeypatch.setattr(showing, "read_counts", work_out_slowly)
    monkeypatch.setattr(reporting, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(routes, "LIST_SECONDS", 60.0)
    listed = await world.call("GET", "/api/goals")
    assert [goal["id"] for goal in listed.json()] == ids
    assert not any("stale" in goal for goal in listed.json())
    assert "last known" not in caplog.text

    monkeypatch.setattr(routes, "LIST_SECONDS", 0.5)
    monkeypatch.setattr(last_lists, "LONGEST_REUSE_SECONDS", 0.0)
    world.counters.fresh_as_of = world.now - 1  # or all would stand as it stood
    known = await world.call("GET", "/api/goals")
    assert [(goal["id"], goal["stale"]) for goal in known.json()] == [(ident, True) for ident in ids]
    assert "shown as it was last known" in caplog.text


async def test_what_nothing_feeds_is_told_when_it_is_said(world: World) -> None:
    counting = {"name": "Signup", "eventType": "signup", "metric": "signups"}
    fed = (await world.call("POST", "/api/conversion-goals", json=counting)).json()["id"]
    no_metric = "No conversion goal feeds the metric 'signup' yet; there are: signups."
    no_id = f"No conversion goal has the id {fed[:-1] + '_'!r} (yet). Did you mean {fed!r}?"
    goal = await create(world, {**GOAL, "metric": "signup"})
    assert no_metric in goal["warnings"]
    for changes, told in (
        ({"metric": "signups"}, ""),
        ({"conversionGoalIds": [fed[:-1] + "_"]}, no_id),
        ({"target": 3}, ""),
        ({"conversionGoalIds": [fed], "metric": "signup"}, ""),
        ({"conversionGoalIds": None}, no_metric),
    ):
        edited = (await world.call("PATCH", "/api/goals", json={"id": goal["id"], **changes})).json()
        assert [one for one in edited["warnings"] if "No worker" not in one] == ([told] if told else []), changes


async def test_a_goal_that_is_reached_before_anything_counts_is_told_when_it_is_said(world: World) -> None:
    told = (
        "startValue 10 has reached the target 3.5 already: the goal is completed from the start. Of one that is to go "
        "down, the direction is 'at_most'."
    )
    goal = await create(world, {**GOAL, "target": 3.5, "startValue": 10})
    assert goal["status"] == "completed"
    assert told in goal["warnings"]
    for changes, is_told in (
        ({"description": "Ten"}, False),
        ({"startValue": 3}, False),
        ({"startValue": 10}, True),
        ({"direction": "at_most"}, False),
        ({"direction": None}, True),
        ({"target": 11}, False),
    ):
        edited = (await world.call("PATCH", "/api/goals", json={"id": goal["id"], **changes})).json()
        assert (told in edited["warnings"]) == is_told, changes


async def test_an_edit_names_the_goal_in_the_body(world: World) -> None:
    goal = await create(world)
    edited = await world.call("PATCH", "/api/goals", json={"id": goal["id"], "target": 750, "status": "at_risk"})
    assert edited.status_code == 200
    assert (edited.json()["target"], edited.json()["status"], edited.json()["statusSource"]) == (
        750,
        "at_risk",
        "manual",
    )
    restored = await world.call("PATCH", "/api/goals", json={"id": goal["id"], "status": None})
    assert restored.json()["statusSource"] == "auto"


async def test_a_delete_names_the_goal_in_the_query(world: World) -> None:
    goal = await create(world)
    assert (await world.call("DELETE", f"/api/goals?id={goal['id']}")).status_code == 200
    assert (await world.call("GET", "/api/goals")).json() == []
    assert (await world.call("DELETE", f"/api/goals?id={goal['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"target": "many"}, "/target"),
        ({"target": -1}, "/target"),
        ({"deadline": "soon"}, "/deadline"),
        ({"metric": ""}, "/metric"),
        ({"tarqet": 5}, "/tarqet"),
        ({"aggregation": "average"}, "/aggregation"),
        ({"aggregation": "rate"}, "/denominatorMetric"),
    ],
)
async def test_a_wrong_field_is_named(world: World, change: dict[str, Any], pointer: str) -> None:
    response = await world.call("POST", "/api/goals", json={**GOAL, **change})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert pointer in [error["pointer"] for error in body["errors"]]
    assert body["error"] == body["detail"]
    assert body["code"] == "invalid"


async def test_several_wrong_fields_are_told_in_one_sentence(world: World) -> None:
    response = await world.call("POST", "/api/goals", json={**GOAL, "target": -1, "deadline": "soon"})
    body = response.json()
    first, second = (f"{one['pointer']}: {one['problem']} {one['remedy']}".rstrip() for one in body["errors"])
    assert first.endswith(".")
    assert body["detail"] == f"{first[:-1]}; {second}"


@pytest.mark.parametrize("path", ["/api/goals", "/api/conversion-goals"])
async def test_a_deletion_that_names_nothing_is_told_where_to_name_it(world: World, path: str) -> None:
    refused = await world.call("DELETE", path)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "/id: it is missing. Give it in the address: ?id=…"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_without_a_key_nothing_is_told(world: World, method: str) -> None:
    response = await world.client.request(method, "/api/goals")
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_api_key"


async def test_a_bearer_token_is_an_api_key_too(world: World) -> None:
    headers = {"authorization": f"Bearer {world.project_keys['shop']}"}
    assert (await world.client.get("/api/goals", headers=headers)).status_code == 200


async def test_a_mistyped_key_is_refused_without_a_look_up(world: World) -> None:
    key = world.project_keys["shop"]
    response = await world.client.get("/api/goals", headers={"x-api-key": key[:-1] + ("0" if key[-1] != "0" else "1")})
    assert response.status_code == 401
    assert "not an API key" in response.json()["detail"]


async def test_a_foreign_goal_answers_like_a_missing_one(world: World) -> None:
    goal = await create(world)
    foreign = await world.call("PATCH", "/api/goals", "other", json={"id": goal["id"], "target": 1})
    missing = await world.call("PATCH", "/api/goals", "shop", json={"id": goal["id"][:-1] + "x", "target": 1})
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json()["detail"].replace(goal["id"], "") == missing.json()["detail"].replace(
        goal["id"][:-1] + "x", ""
    )
    assert (await world.call("GET", "/api/goals", "other")).json() == []


async def test_a_list_that_did_not_change_is_not_sent_again(world: World) -> None:
    await create(world)
    first = await world.call("GET", "/api/goals")
    again = await world.call("GET", "/api/goals", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_an_edit_of_an_older_revision_is_refused(world: World) -> None:
    goal = await create(world)
    match = {"if-match": f'"{goal["revision"]}"'}
    body = {"id": goal["id"], "target": 600}
    assert (await world.call("PATCH", "/api/goals", json=body, headers=match)).status_code == 200
    assert (await world.call("PATCH", "/api/goals", json={**body, "target": 700}, headers=match)).status_code == 412


async def test_a_repeated_post_with_its_key_is_done_once(world: World) -> None:
    headers = {"idempotency-key": "k1"}
    first = await world.call("POST", "/api/goals", json=GOAL, headers=headers)
    second = await world.call("POST", "/api/goals", json=GOAL, headers=headers)
    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len((await world.call("GET", "/api/goals")).json()) == 1
    other = await world.call("POST", "/api/goals", json={**GOAL, "target": 1}, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize(("path", "body"), [("/api/goals", GOAL), ("/api/conversion-goals", COUNTING)])
async def test_what_was_created_before_its_answer_was_cut_off_is_not_created_again(
    world: World, path: str, body: dict[str, Any]
) -> None:
    headers = {"idempotency-key": "k1"}
    first = await world.call("POST", path, json=body, headers=headers)
    SqlAnswers(world.database, abandoned_ms=60_000).forget("shop", "k1")
    second = await world.call("POST", path, json=body, headers=headers)
    assert (second.status_code, second.json()["id"]) == (201, first.json()["id"])
    assert [one["id"] for one in (await world.call("GET", path)).json()] == [first.json()["id"]]
    SqlAnswers(world.database, abandoned_ms=60_000).forget("shop", "k1")
    other = await world.call("POST", path, json={**body, "metric": "other"}, headers=headers)
    assert other.status_code == 409


async def test_who_asks_again_too_early_is_told_when(world: World) -> None:
    body, headers = json.dumps(GOAL), {"idempotency-key": "k1", "content-type": "application/json"}
    body_hash = hashlib.sha256(b"POST /api/goals\0" + body.encode()).hexdigest()
    assert SqlAnswers(world.database, abandoned_ms=60_000).begin("shop", "k1", body_hash) is None
    again = await world.call("POST", "/api/goals", content=body, headers=headers)
    assert (again.status_code, again.json()["code"], again.headers["retry-after"]) == (409, "still_working", "1")


async def test_without_a_worker_the_answer_says_that_it_is_not_live(world: World) -> None:
    world.workers.clear()
    goal = await create(world)
    assert goal["live"] is False
    assert any("No worker" in warning for warning in goal["warnings"])


async def test_too_many_requests_say_when_to_come_back(world: World) -> None:
    world.allowed = 0
    response = await world.call("GET", "/api/goals")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "4"


async def test_history_is_shown_with_the_goal(world: World) -> None:
    goal = await create(world)
    shown = (await world.call("GET", f"/api/goals/{goal['id']}")).json()
    assert shown["history"] == {"hourly": [], "daily": []}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 422),
        (b'{"a": NaN}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"[" * 100 + b"]" * 100, "application/json", 422),
        (b'{"x": "' + b"a" * 300_000 + b'"}', "application/json", 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(world: World, content: bytes, kind: str, status: int) -> None:
    response = await world.call("POST", "/api/goals", content=content, headers={"content-type": kind})
    assert response.status_code == status, response.text
    assert response.json()["status"] == status


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/api/goals", 405)])
async def test_paths_and_methods_that_are_not_there_answer_as_problems(
    world: World, method: str, path: str, status: int
) -> None:
    response = await world.call(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_goal_with_backfill_shows_no_number_before_it_is_filled(world: World) -> None:
    goal = await create(world, {**GOAL, "startsAt": "2026-01-01", "backfill": True})
    assert (goal["current"], goal["status"], goal["backfilling"], goal["backfillProgress"]) == (None, None, True, 0)
    name = f"{goal['id']}~{goal['revision']}"
    await world.counters.note_backfill(name, 0, {"done a": 30, "total a": 40, "done b": 0, "total b": 80})
    (listed,) = (await world.call("GET", "/api/goals")).json()
    assert (listed["current"], listed["backfillProgress"]) == (None, 0.25)
    position = Position("events", 0)
    increments = Increments(position, 0, 0, 7, world.now, backfill=name)
    increments.simple = [Simple("shop", 0, ((goal_owner(goal["id"]), "n"),), without_id=7)]
    await world.counters.apply([increments])
    since = 1_790_000_000_000
    await world.counters.note_backfill(name, 0, {"filled": 1, "since a": since - 5, "since b": since})
    (listed,) = (await world.call("GET", "/api/goals")).json()
    assert (listed["current"], listed.get("backfilling")) == (7, None)
    assert listed["backfilledFrom"] == rfc3339(since)


async def test_an_edit_that_turns_backfill_on_again_fills_again_and_others_do_not(world: World) -> None:
    goal = await create(world, {**GOAL, "startsAt": "2026-01-01", "backfill": True})
    await world.counters.note_backfill(f"{goal['id']}~{goal['revision']}", 0, {"filled": 1})

    async def edited(**changes: object) -> dict[str, Any]:
        response = await world.call("PATCH", "/api/goals", json={"id": goal["id"], **changes})
        found: dict[str, Any] = response.json()
        return found

    assert (await edited(target=5))["current"] == 0
    assert (await edited(backfill=False))["current"] == 0
    assert (await edited(backfill=True))["backfilling"]
    assert (await edited(startsAt="2026-02-01"))["backfilling"]


async def test_a_goal_that_is_set_while_redis_is_away_is_shown_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise StoreUnavailable("redis", "away")

    monkeypatch.setattr(type(world.counters), "read", away)
    goal = await create(world)
    assert (goal["current"], goal["status"], goal["stale"], goal["aggregation"]) == (None, None, True, "count")


async def test_a_write_waits_once_for_a_redis_that_is_away(world: World) -> None:
    world.redis_is_away = True
    made = await world.call("POST", "/api/goals", json={"metric": "m", "target": 5, "deadline": "2099-12-31"})
    assert (made.status_code, made.json()["live"], made.json()["current"]) == (201, False, None)
    assert world.signals_asked == 1
