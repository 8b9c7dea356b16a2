"""The read path: goals with their progress, as every reader sees them: the API, the page, the command line.

A list costs one SQL read and one read of the counters, whatever the number of goals. When a store is away, the last
known answer is given, marked stale; when the counters were emptied, goals say that they are being rebuilt, never 0.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from app.domain import fields
from app.domain.backfill import backfill_name
from app.domain.fields import HOUR_MS
from app.domain.goal import Aggregation, Goal
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionVersion, Project
from app.domain.moments import rfc3339
from app.domain.progress import (
    DEFAULT_THRESHOLDS,
    Progress,
    Thresholds,
    measure,
    number,
    read_counts,
    shown_period,
    shown_span,
)
from app.domain.status_changes import StatusChange, sentence
from app.errors import GenerationMissing, InvalidDefinition, StoreUnavailable
from app.pacing import Chosen, Paces
from app.patience import within
from app.ports import CounterReader, DefinitionStore, Reading
from app.sharing import SharedLooks

PATIENCE_SECONDS = 1.2
_KEPT_PROJECTS = 1_000
_KEPT_GOALS = 20_000
_SPARK_HOURS = 24
_SHOWN_CHANGES = 100


@dataclass(frozen=True, slots=True)
class Report:
    """An answer as JSON-ready values, and how old it is."""

    items: Sequence[dict[str, Any]]
    fresh_as_of: int | None
    is_stale: bool = False
    is_rebuilding: bool = False
    generation: int | None = None


@dataclass(slots=True)
class _Asked:
    wanted: list[tuple[str, str, Sequence[str]]] = field(default_factory=list)

    def add(self, project: str, owner: str, names: Sequence[str]) -> int:
        self.wanted.append((project, owner, names))
        return len(self.wanted) - 1


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
        self._compiled: dict[tuple[object, ...], Goal | None] = {}

    async def list_goals(self, project: str, now: int) -> Report:
        """The project's goals, oldest first."""
        key = ("goals", project)
        return await self._looks.ask(project, lambda: self._or_stale(key, lambda: self._list_goals(project, now, None)))

    async def goal(self, project: str, ident: str, now: int) -> Report:
        """One goal, with its history points by hour and by day, and the changes of its status."""
        return await self._or_stale((ident, project), lambda: self._goal(project, ident, now))

    async def list_conversion_goals(self, project: str) -> Report:
        """The project's conversion goals, oldest first, with how often and when they matched."""
        return await self._or_stale(("conversion goals", project), lambda: self._list_conversion_goals(project))

    async def _or_stale(self, key: tuple[str, str], ask: Any) -> Report:
        try:
            report: Report = await within(PATIENCE_SECONDS, "a store", ask())
        except StoreUnavailable:
            known = self._known.get(key)
            if known is None:
                raise
            items = [{**item, "stale": True} for item in known.items]
            return replace(known, items=items, is_stale=True)
        self._known[key] = report
        self._known.move_to_end(key)
        while len(self._known) > _KEPT_PROJECTS:
            self._known.popitem(last=False)
        return report

    async def _goal(self, project: str, ident: str, now: int) -> Report:
        report = await self._list_goals(project, now, ident)
        changes = await asyncio.to_thread(self._changes.of, project, ident, _SHOWN_CHANGES)
        shown = [_status_change(change) for change in changes]
        return replace(report, items=[{**item, "statusChanges": shown} for item in report.items])

    async def _list_goals(self, project: str, now: int, only: str | None) -> Report:
        owner, versions = await asyncio.to_thread(self._definitions.current, project, "goal")
        if only is not None:
            versions = [await asyncio.to_thread(self._definitions.get, project, "goal", only)]
        goals = [(version, self._goal_of(version, owner)) for version in versions]
        paces = await self._paces.choose(project, [goal for _, goal in goals if goal is not None], now)
        backfills = {version.id: await self._backfill(version) for version in versions}
        asked = _Asked()
        this_hour = now // HOUR_MS
        hours = [fields.hour_suffix(hour * HOUR_MS) for hour in range(this_hour - _SPARK_HOURS + 1, this_hour + 1)]
        for _, goal in goals:
            if goal is None:
                continue
            suffix, inside = shown_period(goal, now), partial(_inside, backfills[goal.id])
            totals, points = [*(letter + suffix for letter in "nvud"), fields.LAST], ["n" + hour for hour in hours]
            asked.add(project, inside(fields.goal_owner(goal.id)), totals if only is None else ("*",))
            asked.add(project, inside(fields.goal_history_owner(goal.id)), points if only is None else ("*",))
            asked.add(project, inside(fields.STATE), ("*",) if backfills[goal.id] is not None else ())
        reading = await self._read(asked)
        found = iter(reading.owners) if reading is not None else None
        items = []
        for version, goal in goals:
            if goal is None:
                items.append({**_definition(version), "current": None, "status": None, "problem": "cannot be compiled"})
                continue
            counters, history, state = [next(found) for _ in range(3)] if found is not None else [{}, {}, {}]
            if reading is not None and backfills[goal.id] is not None and not state.get(fields.FILLED):
                items.append(_being_filled(version, goal, state))
                continue
            item = self._item(version, goal, counters, now, reading, paces.get(goal.id, Chosen()))
            since = max((at for name, at in state.items() if name.startswith(fields.SINCE)), default=0)
            if since > goal.starts_at:
                item["backfilledFrom"] = rfc3339(since)
            item["recent"] = [history.get("n" + hour, 0) for hour in hours]
            if only is not None:
                item["history"] = _points(history, goal)
                item["periods"] = _periods(counters, goal)
            items.append(item)
        return _report(items, reading)

    def _goal_of(self, version: DefinitionVersion, project: Project) -> Goal | None:
        key = (project.key, project.time_zone, version.id, version.revision, version.effective_from)
        if key not in self._compiled:
            if len(self._compiled) >= _KEPT_GOALS:
                self._compiled.clear()
            self._compiled[key] = _compile(version, project)
        return self._compiled[key]

    async def _backfill(self, version: DefinitionVersion) -> str | None:
        """The name of the backfill that the goal is shown from."""
        if not version.body.get("backfill"):
            return None
        key = (version.id, version.revision)
        if key not in self._backfills:
            versions = await asyncio.to_thread(self._definitions.all_versions, version.project, "goal", version.id)
            if len(self._backfills) > _KEPT_PROJECTS:
                self._backfills.clear()
            self._backfills[key] = backfill_name(versions)
        return self._backfills[key]

    async def _list_conversion_goals(self, project: str) -> Report:
        _, versions = await asyncio.to_thread(self._definitions.current, project, "conversion_goal")
        asked = _Asked()
        for version in versions:
            asked.add(project, fields.conversion_goal_owner(version.id), ("n", "v", "u", fields.LAST))
        reading = await self._read(asked)
        items = []
        for index, version in enumerate(versions):
            item = _definition(version)
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
            reading = await self._counters.read(asked.wanted)
        except GenerationMissing:
            return None
        return None if reading.rebuilding else reading

    def _item(
        self,
        version: DefinitionVersion,
        goal: Goal,
        counters: Mapping[str, int],
        now: int,
        reading: Reading | None,
        chosen: Chosen,
    ) -> dict[str, Any]:
        item = _definition(version)
        if reading is None:
            rebuilt = {"current": None, "status": goal.status_override, "rebuilding": True, "freshAsOf": None}
            return {**item, **rebuilt, "statusSource": "manual" if goal.status_override else "auto"}
        counts = read_counts(counters, shown_period(goal, now))
        progress = measure(goal, counts, now, reading.fresh_as_of, self._thresholds, chosen.pace)
        item.update(_progress(goal, progress))
        if chosen.reason:
            item["paceReason"] = chosen.reason
        item["lastConversionAt"] = rfc3339(counters.get(fields.LAST))
        item["freshAsOf"] = rfc3339(reading.fresh_as_of)
        if reading.incomplete_since is not None and goal.starts_at <= reading.incomplete_since:
            item["incompleteSince"] = rfc3339(reading.incomplete_since)
        return item


def _inside(backfill: str | None, owner: str) -> str:
    return owner if backfill is None else fields.in_backfill(backfill, owner)


def _being_filled(version: DefinitionVersion, goal: Goal, state: Mapping[str, int]) -> dict[str, Any]:
    """No number before it is the right one, but how far it is."""
    done, total = (
        sum(number for name, number in state.items() if name.startswith(kind)) for kind in (fields.DONE, fields.TOTAL)
    )
    return {
        **_definition(version),
        "current": None,
        "status": goal.status_override,
        "statusSource": "manual" if goal.status_override else "auto",
        "backfilling": True,
        "backfillProgress": round(done / total, 3) if total else 0,
        "freshAsOf": None,
        "recent": [],
    }


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


def goal_without_counters(version: DefinitionVersion) -> dict[str, Any]:
    """The goal as a list shows it, while nobody can say where it stands."""
    override = version.body.get("status")
    unknown = {"current": None, "status": override, "freshAsOf": None, "stale": True}
    return {**_definition(version), **unknown, "statusSource": "manual" if override else "auto"}


def _definition(version: DefinitionVersion) -> dict[str, Any]:
    body = dict(version.body)
    body.pop("status", None) if version.kind == "goal" else None
    item: dict[str, Any] = {"id": version.id, **body, "createdAt": rfc3339(version.created_at)}
    if version.kind == "goal":
        item.setdefault("description", "")
        item.setdefault("unit", "")
        item.setdefault("aggregation", "count")
        item.setdefault("direction", "at_least")
        item.setdefault("pace", "linear")
        item.setdefault("backfill", False)
    else:
        item.setdefault("urlPattern", None)
        item.setdefault("conditions", None)
        item.setdefault("counting", "every_event")
        item.setdefault("status", "active")
    item["revision"] = version.revision
    return item


def _progress(goal: Goal, progress: Progress) -> dict[str, Any]:
    return {
        "target": number(goal.target),
        "current": number(progress.current),
        "status": str(progress.status),
        "statusSource": progress.status_source,
        "expected": number(progress.expected),
        "paceUsed": progress.pace,
        "projected": number(progress.projected) if progress.projected is not None else None,
        "projectedAt": rfc3339(progress.projected_at),
        "progress": number(progress.progress),
        "startsAt": rfc3339(goal.starts_at),
        "endsAt": rfc3339(goal.ends_at),
        "periodStartsAt": rfc3339(progress.starts_at),
        "periodEndsAt": rfc3339(progress.ends_at),
    }


def _status_change(change: StatusChange) -> dict[str, Any]:
    seen = change.seen
    return {
        "at": rfc3339(seen.at),
        "from": change.before,
        "to": seen.status,
        "cause": str(change.cause),
        "reason": sentence(change),
        "current": seen.current,
        "expected": seen.expected,
        "progress": seen.progress,
    }


def _points(history: Mapping[str, int], goal: Goal) -> dict[str, Any]:
    """By hour and by day: what came; for a rate also what it is a part of."""
    hourly = {int(name[2:]) for name in history if name[1:2] == "."}
    daily = {name[2:] for name in history if name[1:2] == "/"}
    return {
        "hourly": [{"at": rfc3339(h * HOUR_MS), **_point(history, goal, f".{h}")} for h in sorted(hourly)],
        "daily": [{"date": day, **_point(history, goal, f"/{day}")} for day in sorted(daily)],
    }


def _point(history: Mapping[str, int], goal: Goal, suffix: str) -> dict[str, Any]:
    counts = read_counts(history, suffix)
    if goal.aggregation is Aggregation.RATE:
        return {"value": counts.count, "denominator": counts.denominator}
    return {"value": number(counts.value) if goal.aggregation is Aggregation.SUM else counts.count}


def _periods(counters: Mapping[str, int], goal: Goal) -> list[dict[str, Any]]:
    """Each period in which something counted, oldest first."""
    if goal.period is None:
        return []
    starts = sorted({int(name[2:]) for name in counters if name[1:2] == "@"})
    found = []
    for start in starts:
        begins, ends = shown_span(goal, start)
        at_its_end = measure(goal, read_counts(counters, fields.period_suffix(start)), ends, ends)
        shown = {"startsAt": rfc3339(begins), "endsAt": rfc3339(ends), "current": number(at_its_end.current)}
        found.append({**shown, "progress": number(at_its_end.progress)})
    return found


def _report(items: Sequence[dict[str, Any]], reading: Reading | None) -> Report:
    if reading is None:
        return Report(items, None, is_rebuilding=True)
    return Report(items, reading.fresh_as_of, generation=reading.generation)
