"""Changes of a goal's status, as `GET /api/goals/{id}` shows them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.conftest import World, make_defective
from tests.api.test_goals import count, create


async def changes(world: World, goal_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.call("GET", f"/api/goals/{goal_id}")).json()["statusChanges"]
    return found


async def test_a_change_is_recorded_once_with_its_reason_and_figures(world: World) -> None:
    goal = await create(world)
    await world.recorder.record()
    assert await changes(world, goal["id"]) == [], "a goal begins without a change"
    await count(world, goal["id"], 600)
    assert await world.recorder.record() == 1
    assert await world.recorder.record() == 0
    (change,) = await changes(world, goal["id"])
    assert change.pop("expected") >= 0
    assert change == {
        "at": "2027-01-15T08:00:00.000Z",
        "from": "on_track",
        "to": "completed",
        "cause": "target_reached",
        "reason": "The target is reached: 600 of 500.",
        "current": 600,
        "progress": 1.2,
    }


async def test_the_newest_change_is_the_last(world: World) -> None:
    goal = await create(world)
    await world.recorder.record()
    await world.call("PATCH", "/api/goals", json={"id": goal["id"], "status": "at_risk"})
    await world.recorder.record()
    await world.call("PATCH", "/api/goals", json={"id": goal["id"], "status": None})
    await world.recorder.record()
    found = await changes(world, goal["id"])
    assert [(one["from"], one["to"], one["cause"]) for one in found] == [
        ("on_track", "at_risk", "overridden"),
        ("at_risk", "on_track", "override_ended"),
    ]


async def test_a_project_that_cannot_be_shown_keeps_no_other_from_being_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    goals = {project: await create(world, project=project) for project in ("other", "shop")}
    await world.recorder.record()
    make_defective(monkeypatch, "other")
    await count(world, goals["shop"]["id"], 600)
    assert [await world.recorder.record() for _ in range(3)] == [1, 0, 0]
    assert ["a defect" in record.getMessage() for record in caplog.records] == [True], "said once"


async def test_two_recorders_at_once_record_a_change_once(world: World) -> None:
    goal = await create(world)
    await world.recorder.record()
    await count(world, goal["id"], 500)
    await asyncio.gather(*(world.recorder.record() for _ in range(8)))
    assert [one["to"] for one in await changes(world, goal["id"])] == ["completed"]


async def test_nothing_is_recorded_while_the_counters_are_counted_again(world: World) -> None:
    goal = await create(world)
    await count(world, goal["id"], 500)
    await world.recorder.record()
    world.counters.rebuilding = True
    assert await world.recorder.record() == 0
    world.counters.rebuilding = False
    assert await changes(world, goal["id"]) == []


async def test_another_project_sees_nothing_of_it(world: World) -> None:
    goal = await create(world)
    assert (await world.call("GET", f"/api/goals/{goal['id']}", "other")).status_code == 404
