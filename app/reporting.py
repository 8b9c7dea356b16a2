"""The read path: goals with their progress, as every reader sees them: the API, the page, the command line.

A list costs one SQL read and one read of the counters, whatever the number of goals. When a store is away, the last
known answer is given, marked stale; when the counters were emptied, goals say that they are being rebuilt, never 0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from operator import is_
from typing import Any, Protocol

from app.domain import fields
from app.domain.backfill import backfill_name
from app.domain.fields import HOUR_MS
from app.domain.goal import Goal, PaceKind
from app.domain.history import DefinitionVersion, Project
from app.domain.moments import rfc3339
from app.domain.progress import (
    DEFAULT_THRESHOLDS,
    Thresholds,
    holds_until,
    instant_of,
    number,
    shown_period,
)
from app.domain.status_changes import StatusChange
from app.errors import GenerationMissing, StoreUnavailable
from app.goal_items import (
    NOT_COMPILED,
    definition_item,
    goal_being_filled,
    goal_being_rebuilt,
    status_change_item,
)
from app.pacing import Chosen, Paces
from app.patience import Patience, giving_way, within
from app.ports import CounterReader, DefinitionStore, Reading, Wanted
from app.sharing import SharedLooks
from app.showing import Facts, ShownGoals, incomplete_since, spark_of

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.2
_KEPT_PROJECTS = 1_000
MANY_GOALS = 100
"""A list of fewer is made sooner than it is found out whether it has to be."""
LONGEST_REUSE_SECONDS = 0.25
"""About what the page's stream may take to show a change."""
UNDER_WAY_REUSE = 4
"""So many times that while the next list is being made: on a machine that has too much to do that may take long."""
REUSE_BY_MAKING = 5
"""How many times as long as a list took to make it may serve a crowd."""
LONGEST_REST_SECONDS = 0.15
REST_BY_MAKING = 2
"""How many times as long until the next one is begun: making lists takes a part of a core, not all."""
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


@dataclass(frozen=True, slots=True)
class _Listed:
    """A list, and all that it was made of."""

    report: Report
    versions: Sequence[DefinitionVersion]
    """The very object: stores give it again until a definition changes."""
    seasonal: Sequence[Goal]
    paces: Mapping[str, Chosen]
    mark: object
    """See CounterReader.mark."""
    seen_from: int
    holds_until: int
    """From the one moment until the other the clock changes nothing of it; epoch ms."""
    is_moving: bool = False
    """Another mark than the one before: the next look does not ask whether the list stands, which while events are
    counted is a wait for Redis for nothing."""
    took: float = 0.0
    """To make it, in seconds."""
    stood_at: float = 0.0
    """When it was made, or seen to be what would be made again; monotonic seconds."""


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
        self._known: OrderedDict[tuple[str, ...], Report] = OrderedDict()
        self._backfills: dict[tuple[str, int], str | None] = {}
        self._paces = Paces(definitions, counters)
        self._looks: SharedLooks[Report] = SharedLooks()
        self._present: SharedLooks[Sequence[DefinitionVersion]] = SharedLooks()
        self._listed: OrderedDict[str, _Listed] = OrderedDict()
        self._shown = ShownGoals(thresholds)

    async def list_goals(self, project: str, now: int) -> Report:
        """The project's goals, oldest first. Never older than the question."""
        return await self._or_stale(("goals", project), self._look(project, now))

    async def list_for_a_crowd(self, project: str, now: int, at_most: float) -> Report:
        """The same for those who ask often: the last list of many goals is given again for five times as long as it
        took to make, a quarter of a second at most, and while the next one is being made, a second at most. Its
        definitions are never older than the question.

        Who asks has to answer within `at_most` seconds, and gets what was known before when that takes longer, behind a
        look that is slow and one that hangs.
        """
        asked = within(at_most, "a store", self._last_or_next(project, now))
        return await self._or_stale(("goals", project), asked)

    async def _last_or_next(self, project: str, now: int) -> Report:
        last = self._listed.get(project)
        if last is None or len(last.versions) < MANY_GOALS:
            return await self._look(project, now)
        report = await self._last(project, now)
        if report is None:
            # The next list may be on its way: who waited for it and for another one after it would wait twice.
            await self._looks.wait_for_running(project)
            report = await self._last(project, now)
        return await self._look(project, now) if report is None else report

    async def _last(self, project: str, now: int) -> Report | None:
        """The last list, while it may serve a crowd. The next one is begun when it will be needed."""
        if not self._may_serve(project, self._listed.get(project)):
            return None
        present = await self._present.ask(project, partial(self._versions, project))
        last = self._listed.get(project)
        if last is None or last.versions is not present or not self._may_serve(project, last):
            return None
        if time.monotonic() - last.stood_at >= min(REST_BY_MAKING * last.took, LONGEST_REST_SECONDS):
            self._looks.look_ahead(project, partial(self._list_all, project, now))
        return last.report

    def _may_serve(self, project: str, last: _Listed | None) -> bool:
        if last is None:
            return False
        longest = min(REUSE_BY_MAKING * last.took, LONGEST_REUSE_SECONDS)
        if self._looks.is_running(project):
            longest = UNDER_WAY_REUSE * LONGEST_REUSE_SECONDS
        return time.monotonic() - last.stood_at <= longest

    async def _look(self, project: str, now: int) -> Report:
        return await self._looks.ask(project, partial(self._list_all, project, now))

    async def _versions(self, project: str) -> Sequence[DefinitionVersion]:
        return (await asyncio.to_thread(self._definitions.current, project, "goal"))[1]

    async def goal(self, project: str, ident: str, now: int) -> Report:
        """One goal, with its history points by hour and by day, and the changes of its status."""
        return await self._or_stale(("goal", project, ident), self._goal(project, ident, now))

    async def list_conversion_goals(self, project: str) -> Report:
        """The project's conversion goals, oldest first, with how often and when they matched."""
        return await self._or_stale(("conversion goals", project), self._list_conversion_goals(project))

    async def _or_stale(self, key: tuple[str, ...], asked: Awaitable[Report]) -> Report:
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
        report = _as_known(self._known.get(key), report)
        self._known[key] = report
        self._known.move_to_end(key)
        while len(self._known) > _KEPT_PROJECTS:
            self._known.popitem(last=False)
        return report

    async def _goal(self, project: str, ident: str, now: int) -> Report:
        patience = Patience(PATIENCE_SECONDS)
        owner, _ = await patience.wait("sql", asyncio.to_thread(self._definitions.current, project, "goal"))
        version = await patience.wait("sql", asyncio.to_thread(self._definitions.get, project, "goal", ident))
        report = (await self._see(owner, [version], now, patience, is_whole=True)).report
        changes = await patience.wait("sql", asyncio.to_thread(self._changes.of, project, ident, _SHOWN_CHANGES))
        items = [
            {**item, "statusChanges": [status_change_item(change, item) for change in changes]} for item in report.items
        ]
        return replace(report, items=items, memo={})

    async def _list_all(self, project: str, now: int) -> Report:
        """The last list of many goals, where nothing moved since: that can be told without looking at every goal."""
        patience, begun = Patience(PATIENCE_SECONDS), time.monotonic()
        owner, versions = await patience.wait("sql", asyncio.to_thread(self._definitions.current, project, "goal"))
        last = self._listed.get(project)
        if last is None or last.is_moving or not await self._stands(last, versions, project, now, patience):
            made = await self._see(owner, versions, now, patience, is_whole=False)
            is_moving = last is not None and last.mark != made.mark
            last = replace(made, took=time.monotonic() - begun, is_moving=is_moving)
        self._listed[project] = replace(last, stood_at=time.monotonic())
        self._listed.move_to_end(project)
        while len(self._listed) > _KEPT_PROJECTS:
            self._listed.popitem(last=False)
        return last.report

    async def _stands(
        self, last: _Listed, versions: Sequence[DefinitionVersion], project: str, now: int, patience: Patience
    ) -> bool:
        if len(versions) < MANY_GOALS or last.versions is not versions or not last.seen_from <= now < last.holds_until:
            return False
        paces = await self._paces.choose(project, last.seasonal, now, patience)
        return paces == last.paces and await patience.wait("redis", self._mark(project)) == last.mark

    async def _mark(self, project: str) -> object:
        """Another one each time while the counters are counted again from nothing."""
        try:
            return await self._counters.mark(project)
        except GenerationMissing:
            return object()

    async def _see(
        self, owner: Project, versions: Sequence[DefinitionVersion], now: int, patience: Patience, *, is_whole: bool
    ) -> _Listed:
        """These goals of a project; `is_whole`: with all that is known of them."""
        known = [self._shown.known(version, owner) async for version in giving_way(versions)]
        seasonal = [one.goal for one in known if one.goal is not None and one.goal.pace is PaceKind.SEASONAL]
        paces = await self._paces.choose(owner.key, seasonal, now, patience)
        backfills = {version.id: await self._backfill(version, patience) for version in versions}
        spark = spark_of(now // HOUR_MS, owner.time_zone)
        asked = [
            one.ask(backfills[version.id], spark, now, is_whole=is_whole)
            async for version, one in giving_way(zip(versions, known, strict=True))
        ]
        reading = await patience.wait("redis", self._read([wanted for own in asked for wanted in own.wanted]))
        owners = iter(reading.owners if reading is not None else ())
        items, until = [], (now // HOUR_MS + 1) * HOUR_MS
        async for one, own in giving_way(zip(known, asked, strict=True)):
            goal = one.goal
            if goal is None:
                items.append({**one.item, "current": None, "status": None, "problem": NOT_COMPILED})
                continue
            if reading is None:
                items.append(goal_being_rebuilt(one.item, goal))
                continue
            counters, history = next(owners), next(owners)
            state = next(owners) if len(own.wanted) > 2 else {}
            # A backfill is counted beside the rest, and the mark does not tell of it.
            until = now if backfills[goal.id] else min(until, holds_until(goal, now, reading.fresh_as_of))
            if backfills[goal.id] is not None and not state.get(fields.FILLED):
                items.append(goal_being_filled(one.item, goal, state))
                continue
            facts = Facts(
                instant=instant_of(goal, now, reading.fresh_as_of),
                period=shown_period(goal, now),
                counters=counters,
                recent=one.recent(spark, own.hours, history, now),
                filled_since=max((at for name, at in state.items() if name.startswith(fields.SINCE)), default=0),
                fresh_as_of=reading.fresh_as_of,
                incomplete_since=incomplete_since(goal, reading.lost_at),
                chosen=paces.get(goal.id, _LINEAR),
            )
            items.append(
                self._shown.whole(one, goal, facts, history) if is_whole else self._shown.shown(one, goal, facts)
            )
        mark = object() if reading is None else reading.mark
        return _Listed(_report(items, reading), versions, seasonal, paces, mark, now, until)

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
        patience = Patience(PATIENCE_SECONDS)
        ask = asyncio.to_thread(self._definitions.current, project, "conversion_goal")
        _, versions = await patience.wait("sql", ask)
        totals = ("n", "v", "u", fields.LAST)
        asked = [Wanted(project, fields.conversion_goal_owner(version.id), totals) for version in versions]
        reading = await patience.wait("redis", self._read(asked))
        items = []
        owners: Iterable[Mapping[str, int] | None] = repeat(None) if reading is None else reading.owners
        async for version, counters in giving_way(zip(versions, owners, strict=False)):
            item = definition_item(version)
            item["conversions"] = counters.get("n", 0) if counters is not None else None
            if version.body.get("valueProperty") is not None:
                value = fields.exact_value(counters.get("v", 0), counters.get("u", 0)) if counters is not None else None
                item["value"] = number(value) if value is not None else None
            item["lastConversionAt"] = rfc3339(counters.get(fields.LAST) if counters is not None else None)
            items.append(item)
        return _report(items, reading)

    async def _read(self, asked: Sequence[Wanted]) -> Reading | None:
        """None while the counters are being counted again from nothing."""
        try:
            reading = await self._counters.read(asked)
        except GenerationMissing:
            return None
        return None if reading.rebuilding else reading


def _as_known(known: Report | None, report: Report) -> Report:
    """The report; the last one, with all that was written of it, where that says the same."""
    if known is None or known is report or len(known.items) != len(report.items):
        return report
    if not all(map(is_, known.items, report.items)):
        return report
    return known if replace(known, items=report.items) == report else report


def _report(items: Sequence[dict[str, Any]], reading: Reading | None) -> Report:
    if reading is None:
        return Report(items, None, is_rebuilding=True)
    return Report(items, reading.fresh_as_of, generation=reading.generation)
