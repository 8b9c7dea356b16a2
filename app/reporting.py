"""The read path: goals with their progress, as every reader sees them: the API, the page, the command line.

A list costs one SQL read and one read of the counters, whatever the number of goals. When a store is away, the last
known answer is given, marked stale; when the counters were emptied, goals say that they are being rebuilt, never 0.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import is_
from typing import Any, NamedTuple, Protocol, TypeAlias

from app.domain import fields
from app.domain.backfill import backfill_name
from app.domain.fields import HOUR_MS
from app.domain.goal import Goal
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionVersion, Project
from app.domain.moments import rfc3339
from app.domain.progress import (
    DEFAULT_THRESHOLDS,
    Instant,
    Thresholds,
    instant_of,
    measure_at,
    number,
    read_counts,
    shown_period,
)
from app.domain.status_changes import StatusChange
from app.errors import GenerationMissing, InvalidDefinition, StoreUnavailable
from app.goal_items import (
    definition_item,
    goal_being_filled,
    goal_being_rebuilt,
    history_points,
    past_periods,
    progress_fields,
    status_change_item,
)
from app.pacing import Chosen, Paces
from app.patience import Patience, giving_way, within
from app.ports import CounterReader, DefinitionStore, Reading
from app.sharing import SharedLooks

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.2
_KEPT_PROJECTS = 1_000
_KEPT_GOALS = 20_000
_SPARK_HOURS = 24
_SHOWN_CHANGES = 100
_LINEAR = Chosen()


@dataclass(frozen=True, slots=True)
class Report:
    """An answer as JSON-ready values, and how old it is."""

    items: Sequence[dict[str, Any]]
    fresh_as_of: int | None
    is_stale: bool = False
    is_rebuilding: bool = False
    generation: int | None = None
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was made of it already, for all who share it."""


class _Facts(NamedTuple):
    """All that a goal is shown from, besides its definition."""

    instant: Instant
    period: str
    """The suffix of the counters to be shown."""
    counters: Mapping[str, int]
    history: Mapping[str, int]
    points: Sequence[str]
    filled_since: int
    fresh_as_of: int | None
    incomplete_since: int | None
    chosen: Chosen


@dataclass(slots=True)
class _Compiled:
    """A goal from look to look. Most goals stand as they stood a moment ago, and to work that out costs ten times as
    much as to see it."""

    goal: Goal | None
    """None for one that cannot be compiled."""
    item: Mapping[str, Any]
    """The goal as it was defined."""
    facts: _Facts | None = None
    shown: dict[str, Any] = field(default_factory=dict)
    """What the goal was shown as, from these facts. Never changed: reports share it."""


_Asked: TypeAlias = list[tuple[str, str, Sequence[str]]]
"""(project, owner, fields) each, as CounterReader.read takes them."""


class RecordedChanges(Protocol):
    """Where changes of status are found. Blocking; raises StoreUnavailable."""

    def of(self, project: str, goal: str, limit: int) -> Sequence[StatusChange]: ...


class Reporter:
    """Coroutines; raise StoreUnavailable when nothing is known, and NotFound."""

    def __init__(
        self,
        definitions: DefinitionStore,
        counters: CounterReader,
        changes: RecordedChanges,
        *,
        thresholds: Thresholds = DEFAULT_THRESHOLDS,
    ) -> None:
        self._definitions = definitions
        self._counters = counters
        self._changes = changes
        self._thresholds = thresholds
        self._known: OrderedDict[tuple[str, str], Report] = OrderedDict()
        self._backfills: dict[tuple[str, int], str | None] = {}
        self._paces = Paces(definitions, counters)
        self._looks: SharedLooks[Report] = SharedLooks()
        self._compiled: dict[tuple[object, ...], _Compiled] = {}

    async def list_goals(self, project: str, now: int, *, at_most: float | None = None) -> Report:
        """The project's goals, oldest first. Who has to answer within `at_most` seconds gets what was known before when
        that takes longer, behind a look that is slow and one that hangs."""

        async def look() -> Report:
            return await self._list_goals(project, now, None, Patience(PATIENCE_SECONDS))

        asked = self._looks.ask(project, look)
        return await self._or_stale(("goals", project), asked if at_most is None else within(at_most, "a store", asked))

    async def goal(self, project: str, ident: str, now: int) -> Report:
        """One goal, with its history points by hour and by day, and the changes of its status."""
        return await self._or_stale((ident, project), self._goal(project, ident, now))

    async def list_conversion_goals(self, project: str) -> Report:
        """The project's conversion goals, oldest first, with how often and when they matched."""
        look = within(PATIENCE_SECONDS, "a store", self._list_conversion_goals(project))
        return await self._or_stale(("conversion goals", project), look)

    async def _or_stale(self, key: tuple[str, str], asked: Awaitable[Report]) -> Report:
        try:
            report = await asked
        except StoreUnavailable as error:
            known = self._known.get(key)
            if known is None:
                raise
            log.warning("shown as it was last known: %s", error)
            if "stale" not in known.memo:
                items = [{**item, "stale": True} for item in known.items]
                known.memo["stale"] = replace(known, items=items, is_stale=True, memo={})
            stale: Report = known.memo["stale"]
            return stale
        report = _with_what_was_made_of(self._known.get(key), report)
        self._known[key] = report
        self._known.move_to_end(key)
        while len(self._known) > _KEPT_PROJECTS:
            self._known.popitem(last=False)
        return report

    async def _goal(self, project: str, ident: str, now: int) -> Report:
        patience = Patience(PATIENCE_SECONDS)
        report = await self._list_goals(project, now, ident, patience)
        changes = await patience.wait("sql", asyncio.to_thread(self._changes.of, project, ident, _SHOWN_CHANGES))
        items = [
            {**item, "statusChanges": [status_change_item(change, item) for change in changes]} for item in report.items
        ]
        return replace(report, items=items, memo={})

    async def _list_goals(self, project: str, now: int, only: str | None, patience: Patience) -> Report:
        owner, versions = await patience.wait("sql", asyncio.to_thread(self._definitions.current, project, "goal"))
        if only is not None:
            get = asyncio.to_thread(self._definitions.get, project, "goal", only)
            versions = [await patience.wait("sql", get)]
        known = [self._known_of(version, owner) async for version in giving_way(versions)]
        choose = self._paces.choose(project, [one.goal for one in known if one.goal is not None], now)
        paces = await patience.wait("a store", choose)
        backfills = {version.id: await self._backfill(version, patience) for version in versions}
        points = _last_points(now)
        asked: _Asked = []
        async for one in giving_way(known):
            if one.goal is not None:
                _ask_for(asked, one.goal, backfills[one.goal.id], now, points, is_whole=only is not None)
        reading = await patience.wait("redis", self._read(asked))
        owners = iter(reading.owners if reading is not None else ())
        items = []
        async for one in giving_way(known):
            goal = one.goal
            if goal is None:
                items.append({**one.item, "current": None, "status": None, "problem": "cannot be compiled"})
                continue
            counters, history, state = (next(owners, {}) for _ in range(3))
            if reading is None:
                items.append(goal_being_rebuilt(one.item, goal))
                continue
            if backfills[goal.id] is not None and not state.get(fields.FILLED):
                items.append(goal_being_filled(one.item, goal, state))
                continue
            facts = _Facts(
                instant=instant_of(goal, now, reading.fresh_as_of),
                period=shown_period(goal, now),
                counters=counters,
                history=history,
                points=points,
                filled_since=max((at for name, at in state.items() if name.startswith(fields.SINCE)), default=0),
                fresh_as_of=reading.fresh_as_of,
                incomplete_since=reading.incomplete_since,
                chosen=paces.get(goal.id, _LINEAR),
            )
            items.append(self._shown(one, goal, facts) if only is None else self._whole(one, goal, facts))
        return _report(items, reading)

    def _known_of(self, version: DefinitionVersion, project: Project) -> _Compiled:
        key = (project.key, project.time_zone, version.id, version.revision, version.effective_from)
        if key not in self._compiled:
            if len(self._compiled) >= _KEPT_GOALS:
                self._compiled.clear()
            self._compiled[key] = _Compiled(_compile(version, project), definition_item(version))
        return self._compiled[key]

    async def _backfill(self, version: DefinitionVersion, patience: Patience) -> str | None:
        """The name of the backfill that the goal is shown from."""
        if not version.body.get("backfill"):
            return None
        key = (version.id, version.revision)
        if key not in self._backfills:
            ask = asyncio.to_thread(self._definitions.all_versions, version.project, "goal", version.id)
            versions = await patience.wait("sql", ask)
            if len(self._backfills) > _KEPT_PROJECTS:
                self._backfills.clear()
            self._backfills[key] = backfill_name(versions)
        return self._backfills[key]

    async def _list_conversion_goals(self, project: str) -> Report:
        _, versions = await asyncio.to_thread(self._definitions.current, project, "conversion_goal")
        asked: _Asked = []
        for version in versions:
            asked.append((project, fields.conversion_goal_owner(version.id), ("n", "v", "u", fields.LAST)))
        reading = await self._read(asked)
        items = []
        for index, version in enumerate(versions):
            item = definition_item(version)
            counters = reading.owners[index] if reading is not None else None
            item["conversions"] = counters.get("n", 0) if counters is not None else None
            if version.body.get("valueProperty") is not None:
                value = fields.exact_value(counters.get("v", 0), counters.get("u", 0)) if counters is not None else None
                item["value"] = number(value) if value is not None else None
            item["lastConversionAt"] = rfc3339(counters.get(fields.LAST) if counters is not None else None)
            items.append(item)
        return _report(items, reading)

    async def _read(self, asked: _Asked) -> Reading | None:
        """None while the counters are being counted again from nothing."""
        try:
            reading = await self._counters.read(asked)
        except GenerationMissing:
            return None
        return None if reading.rebuilding else reading

    def _shown(self, one: _Compiled, goal: Goal, facts: _Facts) -> dict[str, Any]:
        """As lists show it; the same object again as long as nothing of it moves."""
        if one.facts != facts:
            one.facts, one.shown = facts, self._work_out(goal, one.item, facts)
        return one.shown

    def _whole(self, one: _Compiled, goal: Goal, facts: _Facts) -> dict[str, Any]:
        """With its history. `facts` hold every counter of the goal then."""
        parts = {"history": history_points(facts.history, goal), "periods": past_periods(facts.counters, goal)}
        return {**self._work_out(goal, one.item, facts), **parts}

    def _work_out(self, goal: Goal, defined: Mapping[str, Any], facts: _Facts) -> dict[str, Any]:
        instant, counters, chosen = facts.instant, facts.counters, facts.chosen
        counts = read_counts(counters, facts.period)
        progress = measure_at(goal, counts, instant, self._thresholds, chosen.pace)
        item = {**defined, **progress_fields(goal, progress)}
        if chosen.reason:
            item["paceReason"] = chosen.reason
        item["lastConversionAt"] = rfc3339(counters.get(fields.LAST))
        item["freshAsOf"] = rfc3339(facts.fresh_as_of)
        if facts.incomplete_since is not None and goal.starts_at <= facts.incomplete_since:
            item["incompleteSince"] = rfc3339(facts.incomplete_since)
        if facts.filled_since > goal.starts_at:
            item["backfilledFrom"] = rfc3339(facts.filled_since)
        item["recent"] = [facts.history.get(point, 0) for point in facts.points]
        return item


def _last_points(now: int) -> tuple[str, ...]:
    """The fields of a goal's history that its spark line shows."""
    this_hour = now // HOUR_MS
    hours = range(this_hour - _SPARK_HOURS + 1, this_hour + 1)
    return tuple("n" + fields.hour_suffix(hour * HOUR_MS) for hour in hours)


def _ask_for(
    asked: _Asked, goal: Goal, backfill: str | None, now: int, points: Sequence[str], *, is_whole: bool
) -> None:
    """Three owners: the goal's counters, its history, and how far its backfill is. `is_whole`: every field of them."""
    suffix, inside = shown_period(goal, now), partial(_inside, backfill)
    totals = ["n" + suffix, "v" + suffix, "u" + suffix, "d" + suffix, fields.LAST]
    asked.append((goal.project, inside(fields.goal_owner(goal.id)), ("*",) if is_whole else totals))
    asked.append((goal.project, inside(fields.goal_history_owner(goal.id)), ("*",) if is_whole else points))
    asked.append((goal.project, inside(fields.STATE), () if backfill is None else ("*",)))


def _inside(backfill: str | None, owner: str) -> str:
    return owner if backfill is None else fields.in_backfill(backfill, owner)


def _compile(version: DefinitionVersion, project: Project) -> Goal | None:
    try:
        return compile_goal(
            version.body,
            ident=version.id,
            project=project.key,
            time_zone=project.time_zone,
            created_at=version.created_at,
            revision=version.revision,
            effective_from=version.effective_from,
        )
    except InvalidDefinition:
        return None


def _with_what_was_made_of(known: Report | None, report: Report) -> Report:
    """The report; where it says what the last one said, with what was written of that."""
    if known is None or len(known.items) != len(report.items) or not all(map(is_, known.items, report.items)):
        return report
    return replace(report, memo=known.memo) if replace(known, items=report.items) == report else report


def _report(items: Sequence[dict[str, Any]], reading: Reading | None) -> Report:
    if reading is None:
        return Report(items, None, is_rebuilding=True)
    return Report(items, reading.fresh_as_of, generation=reading.generation)
