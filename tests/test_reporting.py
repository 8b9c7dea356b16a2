"""A list of goals says the same whether or not it was looked at before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain import fields
from app.domain.fields import HOUR_MS, goal_history_owner, goal_owner
from app.domain.history import DefinitionVersion, Project
from app.ports import Reading
from app.reporting import Reporter
from tests.builders import version

DAY = 24 * HOUR_MS
START = 1_780_272_000_000
"""A midnight in UTC."""
BODIES: Mapping[str, Mapping[str, object]] = {
    "whole": {"target": 500, "deadline": "2026-12-31"},
    "weekly": {"target": 50, "deadline": "2026-12-31", "period": "week"},
    "budget": {"target": 100, "deadline": "2026-12-31", "direction": "at_most"},
    "daily_budget": {"target": 9, "deadline": "2026-12-31", "direction": "at_most", "period": "day"},
    "rate": {"target": 12, "deadline": "2026-12-31", "aggregation": "rate", "denominatorMetric": "visits"},
    "manual": {"target": 5, "deadline": "2026-06-03", "status": "at_risk"},
    "seasonal": {"target": 500, "deadline": "2026-12-31", "pace": "seasonal"},
}


def goal(name: str, **more: object) -> DefinitionVersion:
    body = {"metric": "signups", "startsAt": "2026-06-01", **BODIES[name], **more}
    return version("goal", name, body, created_at=START)


@dataclass
class Stores:
    """Definitions and counters as a test sets them; each read gives objects of its own, as real stores do."""

    goals: dict[str, DefinitionVersion] = field(default_factory=lambda: {name: goal(name) for name in BODIES})
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    fresh_as_of: int | None = START
    incomplete_since: int | None = None

    def current(self, project: str, kind: str | None = None) -> tuple[Project, Sequence[DefinitionVersion]]:
        owner = Project(project, project, "UTC", 0)
        return owner, list(self.goals.values()) if kind == "goal" else []

    def grow(self, name: str, at: int) -> None:
        """A conversion that happened then."""
        suffix = fields.period_suffix(at // DAY * DAY)
        own = self.counters.setdefault(goal_owner(name), {})
        for counter in ("n", "n" + suffix, "d"):
            own[counter] = own.get(counter, 0) + 1
        own[fields.LAST] = max(own.get(fields.LAST, 0), at)
        hour = "n" + fields.hour_suffix(at)
        history = self.counters.setdefault(goal_history_owner(name), {})
        history[hour] = history.get(hour, 0) + 1

    async def read(self, wanted: Sequence[tuple[str, str, Sequence[str]]]) -> Reading:
        owners = [
            {name: number for name, number in self.counters.get(owner, {}).items() if name in names or "*" in names}
            for _, owner, names in wanted
        ]
        return Reading(owners, self.fresh_as_of, 1, rebuilding=False, incomplete_since=self.incomplete_since)


def reporter(stores: Stores) -> Reporter:
    nothing: Any = None
    return Reporter(stores, stores, nothing)  # type: ignore[arg-type]  # what a list of goals asks for, and no more


async def listed(asked: Reporter, now: int) -> Sequence[dict[str, Any]]:
    return (await asked.list_goals("shop", now)).items


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.sampled_from(list(BODIES))),
        st.tuples(st.just("count late"), st.sampled_from(list(BODIES))),
        st.tuples(st.just("read on"), st.sampled_from([1, 500, HOUR_MS, 3 * DAY])),
        st.tuples(st.just("later"), st.sampled_from([1, 500, HOUR_MS // 2, DAY, 8 * DAY])),
        st.tuples(st.just("lose"), st.sampled_from([START, START + DAY])),
        st.tuples(st.just("edit"), st.sampled_from(list(BODIES))),
    ),
    max_size=12,
)


@given(STEPS)
def test_what_was_seen_before_changes_nothing(steps: list[tuple[str, Any]]) -> None:
    stores, now = Stores(), START + DAY
    before = reporter(stores)

    async def compare() -> None:
        nonlocal now
        for what, given_with in steps:
            if what == "count":
                stores.grow(given_with, now)
            elif what == "count late":
                stores.grow(given_with, now - 3 * DAY)
            elif what == "read on":
                stores.fresh_as_of = (stores.fresh_as_of or START) + given_with
            elif what == "later":
                now += given_with
            elif what == "lose":
                stores.incomplete_since = given_with
            else:
                present = stores.goals[given_with]
                edited = goal(given_with, target=(present.revision + 1) * 100, description=what)
                stores.goals[given_with] = version(
                    "goal", given_with, edited.body, created_at=START, effective_from=present.effective_from + 1
                )
            assert await listed(before, now) == await listed(reporter(stores), now), what

    asyncio.run(compare())


async def test_what_stands_as_it_stood_is_not_worked_out_again() -> None:
    stores, now = Stores(), START + DAY
    asked = reporter(stores)
    first = await asked.list_goals("shop", now)
    first.memo["json"] = b"as written"
    again = await asked.list_goals("shop", now)
    assert again.memo["json"] == b"as written", "nothing of the list moved"
    stores.grow("whole", now)
    later = await asked.list_goals("shop", now + 1)
    same = {item["id"] for item, then in zip(later.items, first.items, strict=True) if item is then}
    assert same == {"weekly", "rate", "manual", "seasonal"}, "one has counted, and budgets move with the clock"
    assert "json" not in later.memo
