"""A list of goals says the same whether or not it was looked at before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import last_lists, reporting
from app.domain import fields
from app.domain.fields import HOUR_MS, goal_history_owner, goal_owner
from app.domain.history import DefinitionVersion, Project
from app.domain.periods import local_date
from app.ports import Reading, Wanted
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
    lost_at: tuple[int, ...] = ()
    moved: int = 0
    reads: int = 0
    marks: int = 0
    """How often the mark alone was asked for."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Shut, reads wait until it opens."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """A read has."""
    _present: list[DefinitionVersion] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def current(self, project: str, kind: str | None = None) -> tuple[Project, Sequence[DefinitionVersion]]:
        """The same object until a goal is another one."""
        present = list(self.goals.values()) if kind == "goal" else []
        if self._present != present:
            self._present = present
        return Project(project, project, "UTC", 0), self._present

    def grow(self, name: str, at: int) -> None:
        """A conversion that happened then."""
        self.moved += 1
        suffix = fields.period_suffix(at // DAY * DAY)
        own = self.counters.setdefault(goal_owner(name), {})
        for counter in ("n", "n" + suffix, "d"):
            own[counter] = own.get(counter, 0) + 1
        own[fields.LAST] = max(own.get(fields.LAST, 0), at)
        history = self.counters.setdefault(goal_history_owner(name), {})
        for field_name in ("n" + fields.hour_suffix(at), "n" + fields.day_suffix(local_date(at, "UTC"))):
            history[field_name] = history.get(field_name, 0) + 1

    async def read(self, wanted: Sequence[Wanted]) -> Reading:
        self.reads += 1
        self.begun.set()
        mark = self._mark()
        owners = [one.of(self.counters.get(one.owner, {})) for one in wanted]
        await self.gate.wait()
        return Reading(owners, self.fresh_as_of, 1, lost_at=self.lost_at, mark=mark)

    async def mark(self, project: str) -> object:
        del project
        self.marks += 1
        return self._mark()

    def _mark(self) -> object:
        return self.fresh_as_of, self.lost_at, self.moved


@pytest.fixture(autouse=True)
def _few_goals_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "MANY_GOALS", 1)


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


STEADY = ("whole", "weekly", "rate", "manual")
"""Goals of which nothing moves with the clock alone."""


@given(STEPS, st.sampled_from([tuple(BODIES), STEADY, ("weekly",), ("whole", "seasonal")]))
def test_what_was_seen_before_changes_nothing(steps: list[tuple[str, Any]], names: Sequence[str]) -> None:
    stores, now = Stores({name: goal(name) for name in names}), START + DAY
    before = reporter(stores)

    async def compare() -> None:
        nonlocal now
        for what, given_with in steps:
            if given_with in BODIES and given_with not in names:
                continue
            if what == "count":
                stores.grow(given_with, now)
            elif what == "count late":
                stores.grow(given_with, now - 3 * DAY)
            elif what == "read on":
                stores.fresh_as_of = (stores.fresh_as_of or START) + given_with
            elif what == "later":
                now += given_with
            elif what == "lose":
                stores.lost_at = tuple(sorted((*stores.lost_at, given_with)))
            else:
                present = stores.goals[given_with]
                edited = goal(given_with, target=(present.revision + 1) * 100, description=what)
                stores.goals[given_with] = version(
                    "goal", given_with, edited.body, created_at=START, effective_from=present.effective_from + 1
                )
            assert await listed(before, now) == await listed(reporter(stores), now), what

    asyncio.run(compare())


async def test_a_goal_is_marked_by_the_first_loss_since_it_started() -> None:
    starts = {"before": "2026-01-01", "in February": "2026-02-01", "after": "2026-04-01"}
    stores = Stores({name: version("goal", name, goal("whole", startsAt=at).body) for name, at in starts.items()})
    stores.lost_at = tuple(int(datetime(2026, month, 15, tzinfo=UTC).timestamp() * 1000) for month in (1, 3))
    report = await reporter(stores).list_goals("shop", START)
    assert {item["id"]: item.get("incompleteSince") for item in report.items} == {
        "before": "2026-01-15T00:00:00.000Z",
        "in February": "2026-03-15T00:00:00.000Z",
        "after": None,
    }


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


async def test_while_events_are_counted_it_is_not_asked_whether_they_are() -> None:
    stores, now = Stores({name: goal(name) for name in STEADY}), START + DAY
    asked = reporter(stores)
    seen = []
    for grows in (True, True, True, False, False, False):
        await asked.list_goals("shop", now)
        seen.append((stores.marks, stores.reads))
        if grows:
            stores.grow("whole", now)
    assert seen == [(0, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 5)], "until a read finds that nothing moved"


async def test_where_nothing_moved_the_counters_are_not_read_again() -> None:
    stores, now = Stores({name: goal(name) for name in STEADY}), START + DAY
    asked = reporter(stores)
    first = await asked.list_goals("shop", now)
    assert await asked.list_goals("shop", now + 1_000) is first
    assert stores.reads == 1
    await asked.list_goals("shop", now - DAY)
    assert stores.reads == 2, "the clock was set back"
    stores.grow("whole", now)
    assert (await asked.list_goals("shop", now + 1_000)).items[0]["current"] == 1


class Clock:
    """In place of time.monotonic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr("app.reporting.time", SimpleNamespace(monotonic=lambda: self.now))


@dataclass
class Crowd:
    """Asks for the list while it is counted, and each look takes `took` seconds."""

    stores: Stores
    clock: Clock
    asked: Reporter

    async def look(self, took: float) -> int:
        """A whole look; the number that it shows."""
        self.shut()
        looking = asyncio.create_task(self.asked.list_goals("shop", START + DAY))
        await self.stores.begun.wait()
        self.clock.now += took
        self.stores.gate.set()
        return int((await looking).items[0]["current"])

    def shut(self) -> None:
        """Let no read end."""
        self.stores.gate.clear()
        self.stores.begun.clear()

    async def ask(self) -> int:
        return int((await self.asked.list_for_a_crowd("shop", START + DAY, 60.0)).items[0]["current"])


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Crowd:
    stores = Stores({"whole": goal("whole")})
    return Crowd(stores, Clock(monkeypatch), reporter(stores))


@pytest.mark.parametrize(("took", "later", "shown"), [(0.04, 0.19, 0), (0.04, 0.21, 1), (9.0, 0.24, 0), (9.0, 0.26, 1)])
async def test_a_crowd_gets_the_last_list_for_five_times_as_long_as_it_took(
    crowd: Crowd, took: float, later: float, shown: int
) -> None:
    assert await crowd.look(took) == 0
    crowd.stores.grow("whole", START)
    crowd.clock.now += later
    assert await crowd.ask() == shown


@pytest.mark.parametrize(("took", "rest"), [(0.04, 0.08), (0.1, 0.15)], ids=["twice as long", "at most"])
async def test_while_a_crowd_gets_the_last_list_the_next_one_is_made(crowd: Crowd, took: float, rest: float) -> None:
    await crowd.look(took)
    crowd.stores.grow("whole", START)
    crowd.shut()
    crowd.clock.now += rest - 0.01
    assert [await crowd.ask() for _ in range(3)] == [0, 0, 0]
    assert not crowd.stores.begun.is_set(), "sooner than it is needed"
    crowd.clock.now += 0.02
    assert [await crowd.ask() for _ in range(3)] == [0, 0, 0]
    await crowd.stores.begun.wait()
    assert [await crowd.ask() for _ in range(3)] == [0, 0, 0]
    assert crowd.stores.reads == 2, "for all of them"
    crowd.clock.now += 0.02
    crowd.stores.gate.set()
    await crowd.asked.list_goals("shop", START + DAY)
    assert await crowd.ask() == 1


async def test_who_is_too_late_for_the_last_list_gets_the_one_that_is_on_its_way(crowd: Crowd) -> None:
    await crowd.look(0.05)
    crowd.stores.grow("whole", START)
    crowd.shut()
    on_its_way = asyncio.create_task(crowd.asked.list_goals("shop", START + DAY))
    await crowd.stores.begun.wait()
    crowd.stores.grow("whole", START)
    crowd.clock.now += 0.99
    assert await crowd.ask() == 0, "while it is being made"
    crowd.clock.now += 0.02
    late = [asyncio.create_task(crowd.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    crowd.stores.gate.set()
    assert await asyncio.gather(*late) == [1, 1, 1], "and does not wait for another one after it"
    await on_its_way


async def test_a_crowd_is_answered_while_so_many_others_ask_that_its_last_list_is_forgotten(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_lists, "_KEPT_PROJECTS", 1)
    await crowd.look(0.05)
    loop, current = asyncio.get_running_loop(), crowd.stores.current

    def current_while_another_asks(project: str, kind: str | None = None) -> Any:
        if project == "shop":
            asyncio.run_coroutine_threadsafe(crowd.asked.list_goals("other", START + DAY), loop).result(60)
        return current(project, kind)

    monkeypatch.setattr(crowd.stores, "current", current_while_another_asks)
    assert await crowd.ask() == 0


async def test_a_list_that_stood_serves_a_crowd_as_one_that_was_made(crowd: Crowd) -> None:
    await crowd.look(0.05)
    crowd.clock.now += 1.0
    assert await crowd.ask() == 0
    crowd.stores.grow("whole", START)
    crowd.clock.now += 0.14
    assert await crowd.ask() == 0


async def test_a_short_list_is_never_older_than_its_question(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "MANY_GOALS", 2)
    await crowd.look(0.05)
    crowd.stores.grow("whole", START)
    assert await crowd.ask() == 1
    await crowd.ask()
    assert crowd.stores.reads == 3


async def test_definitions_are_never_older_than_the_question_of_a_crowd(crowd: Crowd) -> None:
    await crowd.look(0.05)
    crowd.stores.goals["new"] = goal("budget")
    assert len((await crowd.asked.list_for_a_crowd("shop", START + DAY, 60.0)).items) == 2
