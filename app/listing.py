"""Makes lists: of definitions, and one read of the counters, whatever their number.

When the counters were emptied, what is listed says that it is being rebuilt, never 0. How long a list may serve is
decided in reporting.py and last_lists.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, NamedTuple

from app.answers import Report
from app.domain import fields
from app.domain.backfill import backfill_name
from app.domain.fields import HOUR_MS
from app.domain.goal import Goal, PaceKind
from app.domain.history import DefinitionVersion, Project
from app.domain.moments import rfc3339
from app.domain.progress import Thresholds, holds_until, instant_of, number, shown_period
from app.errors import GenerationMissing
from app.goal_items import NOT_COMPILED, definition_item, goal_being_filled, goal_being_rebuilt
from app.pacing import Chosen, Paces
from app.patience import Patience, giving_way
from app.ports import CounterReader, DefinitionStore, Reading, Wanted
from app.showing import Asked, Facts, KnownGoal, ShownGoals, Spark, incomplete_since, spark_of

_KEPT_BACKFILLS = 1_000
_LINEAR = Chosen()


@dataclass(frozen=True, slots=True)
class GoalList:
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


class _Row(NamedTuple):
    """A goal of the list, and what is asked of it."""

    one: KnownGoal
    backfill: str | None
    asked: Asked


class _Look(NamedTuple):
    """What all goals of a list are shown by."""

    now: int
    spark: Spark
    paces: Mapping[str, Chosen]
    is_whole: bool


class Lister:
    """Lives in one event loop. Coroutines that give way to others; they raise StoreUnavailable."""

    def __init__(self, definitions: DefinitionStore, counters: CounterReader, thresholds: Thresholds) -> None:
        self._definitions = definitions
        self._counters = counters
        self._paces = Paces(definitions, counters)
        self._shown = ShownGoals(thresholds)
        self._backfills: dict[tuple[str, int], str | None] = {}

    async def goals(
        self, owner: Project, versions: Sequence[DefinitionVersion], now: int, patience: Patience, *, is_whole: bool
    ) -> GoalList:
        """These goals of a project; `is_whole`: with all that is known of them."""
        known = [self._shown.known(version, owner) async for version in giving_way(versions)]
        seasonal = [one.goal for one in known if one.goal is not None and one.goal.pace is PaceKind.SEASONAL]
        paces = await self._paces.choose(owner.key, seasonal, now, patience)
        backfills = [await self._backfill(version, patience) for version in versions]
        look = _Look(now, spark_of(now // HOUR_MS, owner.time_zone), paces, is_whole)
        rows = [
            _Row(one, backfill, one.ask(backfill, look.spark, now, is_whole=is_whole))
            async for one, backfill in giving_way(zip(known, backfills, strict=True))
        ]
        reading = await patience.wait("redis", self._read([wanted for row in rows for wanted in row.asked.wanted]))
        if reading is None:
            items = [_without_counters(row.one) async for row in giving_way(rows)]
            return GoalList(_report(items, None), versions, seasonal, paces, object(), now, now)
        items, until = await self._show(rows, reading, look)
        return GoalList(_report(items, reading), versions, seasonal, paces, reading.mark, now, until)

    async def would_make_again(
        self, made: GoalList, owner: Project, versions: Sequence[DefinitionVersion], now: int, patience: Patience
    ) -> bool:
        """Whether nothing moved since: that can be told without looking at every goal."""
        if made.versions is not versions or not made.seen_from <= now < made.holds_until:
            return False
        paces = await self._paces.choose(owner.key, made.seasonal, now, patience)
        return paces == made.paces and await patience.wait("redis", self._mark(owner.key)) == made.mark

    async def conversion_goals(self, project: str, versions: Sequence[DefinitionVersion], patience: Patience) -> Report:
        """These conversion goals of a project, with how often and when they matched."""
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

    async def _backfill(self, version: DefinitionVersion, patience: Patience) -> str | None:
        """The name of the backfill that the goal is shown from."""
        if not version.body.get("backfill"):
            return None
        key = (version.id, version.revision)
        if key not in self._backfills:
            ask = asyncio.to_thread(self._definitions.all_versions, version.project, "goal", version.id)
            versions = await patience.wait("sql", ask)
            if len(self._backfills) > _KEPT_BACKFILLS:
                self._backfills.clear()
            self._backfills[key] = backfill_name(versions)
        return self._backfills[key]

    async def _read(self, asked: Sequence[Wanted]) -> Reading | None:
        """None while the counters are being counted again from nothing."""
        try:
            reading = await self._counters.read(asked)
        except GenerationMissing:
            return None
        return None if reading.rebuilding else reading

    async def _mark(self, project: str) -> object:
        """Another one each time while the counters are counted again from nothing."""
        try:
            return await self._counters.mark(project)
        except GenerationMissing:
            return object()

    async def _show(self, rows: Sequence[_Row], reading: Reading, look: _Look) -> tuple[list[dict[str, Any]], int]:
        """The rows as readers see them, and until when the clock changes nothing of any."""
        owners = iter(reading.owners)
        items, until = [], (look.now // HOUR_MS + 1) * HOUR_MS
        async for row in giving_way(rows):
            goal = row.one.goal
            if goal is None:
                items.append(_not_compiled(row.one))
                continue
            items.append(self._item(row, goal, list(islice(owners, len(row.asked.wanted))), reading, look))
            # A backfill is counted beside the rest, and the mark does not tell of it.
            until = min(until, look.now if row.backfill else holds_until(goal, look.now, reading.fresh_as_of))
        return items, until

    def _item(
        self, row: _Row, goal: Goal, found: Sequence[Mapping[str, int]], reading: Reading, look: _Look
    ) -> dict[str, Any]:
        """`found`: what was read of each owner that the row asked for."""
        one, (counters, history, *more) = row.one, found
        state = more[0] if more else {}
        if row.backfill is not None and not state.get(fields.FILLED):
            return goal_being_filled(one.item, goal, state)
        facts = Facts(
            instant=instant_of(goal, look.now, reading.fresh_as_of),
            period=shown_period(goal, look.now),
            counters=counters,
            recent=one.recent(look.spark, row.asked.hours, history, look.now),
            filled_since=max((at for name, at in state.items() if name.startswith(fields.SINCE)), default=0),
            fresh_as_of=reading.fresh_as_of,
            incomplete_since=incomplete_since(goal, reading.lost_at),
            chosen=look.paces.get(goal.id, _LINEAR),
        )
        if look.is_whole:
            return self._shown.whole(one, goal, facts, history)
        return self._shown.shown(one, goal, facts)


def _without_counters(one: KnownGoal) -> dict[str, Any]:
    return _not_compiled(one) if one.goal is None else goal_being_rebuilt(one.item, one.goal)


def _not_compiled(one: KnownGoal) -> dict[str, Any]:
    return {**one.item, "current": None, "status": None, "problem": NOT_COMPILED}


def _report(items: Sequence[dict[str, Any]], reading: Reading | None) -> Report:
    if reading is None:
        return Report(items, None, is_rebuilding=True)
    return Report(items, reading.fresh_as_of, generation=reading.generation)
