"""A goal with the pace `seasonal` is measured by its project's own hours of the week, once four weeks are there."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from app import pacing
from app.domain.fields import HOUR_MS, conversion_goal_history_owner, goal_owner, hour_suffix
from app.domain.increments import Increments, Position, Simple
from app.domain.pace import SeasonalPace, learn_pace
from app.patience import Patience
from tests.api.conftest import World, _patience, world

__all__ = ["_patience", "world"]
HOUR = HOUR_MS
MONDAY = 1_800_230_400_000
"""2027-01-18T00:00Z, a Monday."""
BODY = {
    "metric": "buy",
    "target": 700,
    "startsAt": "2027-01-18T00:00:00Z",
    "deadline": "2027-01-24T23:59:59.999Z",
    "pace": "seasonal",
}


async def _history(world: World, weeks: int) -> str:
    """A shop that sells ten an hour on Mondays and nothing on other days."""
    made = await world.call("POST", "/api/conversion-goals", json={"name": "Buy", "eventType": "purchase"})
    owner = conversion_goal_history_owner(made.json()["id"])
    increments = Increments(Position("events", 0), 0, 0, 1, 1)
    for week in range(1, weeks + 1):
        for hour in range(24):
            at = MONDAY - week * 168 * HOUR + hour * HOUR
            increments.simple.append(Simple("shop", 0, ((owner, "n" + hour_suffix(at)),), without_id=10))
    await world.counters.apply([increments])
    return str(made.json()["id"])


async def _goal(world: World, **fields: object) -> dict[str, Any]:
    made = await world.call("POST", "/api/goals", json={**BODY, **fields})
    assert made.status_code == 201, made.text
    (listed,) = (await world.call("GET", "/api/goals")).json()
    found: dict[str, Any] = listed
    return found


@pytest.fixture
async def monday_evening(world: World) -> World:
    world.now = world.counters.fresh_as_of = MONDAY + 24 * HOUR
    return world


async def test_the_target_is_expected_when_the_week_usually_brings_it(monday_evening: World) -> None:
    await _history(monday_evening, 4)
    goal = await _goal(monday_evening)
    assert (goal["pace"], goal["paceUsed"], goal.get("paceReason")) == ("seasonal", "seasonal", None)
    # 95 % go by history, 5 % evenly over the seven days.
    assert goal["expected"] == pytest.approx(700 * (0.95 + 0.05 / 7), abs=0.001)


async def test_goals_that_are_fed_by_the_same_learn_it_once(
    monday_evening: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _history(monday_evening, 4)
    learned = []

    def note(*what: Any) -> SeasonalPace | None:
        learned.append(what)
        return learn_pace(*what)

    monkeypatch.setattr(pacing, "learn_pace", note)
    for target in range(100, 400, 100):
        await monday_evening.call("POST", "/api/goals", json={**BODY, "target": target})
    learned.clear()
    monday_evening.now = monday_evening.counters.fresh_as_of = MONDAY + 25 * HOUR
    goals = (await monday_evening.call("GET", "/api/goals")).json()
    assert [goal["paceUsed"] for goal in goals] == ["seasonal"] * 3
    assert len(learned) == 1


async def test_learning_the_pace_of_a_new_goal_takes_no_other_ones_away(
    monday_evening: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is room in memory for one only."""
    monkeypatch.setattr(pacing, "MOST_KEPT", 0)
    await _history(monday_evening, 4)
    await _goal(monday_evening)
    await monday_evening.call("POST", "/api/goals", json=BODY)
    goals = (await monday_evening.call("GET", "/api/goals")).json()
    assert [goal["paceUsed"] for goal in goals] == ["seasonal"] * 2


async def test_who_learns_does_not_wait_for_a_store(monday_evening: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take longer than anybody waits for one, and none is away then."""
    await _history(monday_evening, 4)
    await _goal(monday_evening)
    waiting: list[str] = []
    waiting_while_learning = []
    wait = Patience.wait

    async def note_wait(patience: Patience, store: str, asked: Awaitable[Any]) -> Any:
        waiting.append(store)
        try:
            return await wait(patience, store, asked)
        finally:
            waiting.remove(store)

    def note_learning(*what: Any) -> SeasonalPace | None:
        waiting_while_learning.append(list(waiting))
        return learn_pace(*what)

    monkeypatch.setattr(Patience, "wait", note_wait)
    monkeypatch.setattr(pacing, "learn_pace", note_learning)
    monday_evening.now = monday_evening.counters.fresh_as_of = MONDAY + 25 * HOUR
    await monday_evening.call("GET", "/api/goals")
    assert waiting_while_learning == [[]]


async def test_the_projection_follows_the_same_pace(monday_evening: World) -> None:
    await _history(monday_evening, 4)
    goal = await _goal(monday_evening)
    increments = Increments(Position("events", 1), 0, 0, 1, 1)
    increments.simple = [Simple("shop", 0, ((goal_owner(goal["id"]), "n"),), without_id=350)]
    await monday_evening.counters.apply([increments])
    (goal,) = (await monday_evening.call("GET", "/api/goals")).json()
    assert goal["projected"] == pytest.approx(350 / (0.95 + 0.05 / 7), abs=0.001)
    assert goal["status"] == "behind"


@pytest.mark.parametrize("weeks", [0, 3])
async def test_with_less_than_four_weeks_it_is_linear_and_says_why(monday_evening: World, weeks: int) -> None:
    await _history(monday_evening, weeks)
    goal = await _goal(monday_evening)
    assert (goal["pace"], goal["paceUsed"]) == ("seasonal", "linear")
    assert "4 whole weeks" in goal["paceReason"]
    assert goal["expected"] == 100


async def test_the_line_is_straight_where_that_is_asked_for(monday_evening: World) -> None:
    await _history(monday_evening, 4)
    goal = await _goal(monday_evening, pace="linear")
    assert (goal["pace"], goal["paceUsed"], goal["expected"]) == ("linear", "linear", 100)


async def test_other_metrics_teach_nothing(monday_evening: World) -> None:
    await _history(monday_evening, 4)
    assert (await _goal(monday_evening, metric="visits"))["paceUsed"] == "linear"
