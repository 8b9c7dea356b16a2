"""Goals, conversion goals and changes of status as every reader sees them: JSON-ready values in the API's field names.

Pure: what is read, and when, is decided in reporting.py and listing.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain import fields
from app.domain.fields import HOUR_MS
from app.domain.goal import Aggregation, Goal
from app.domain.history import DefinitionVersion
from app.domain.json_values import writable
from app.domain.moments import rfc3339
from app.domain.periods import period_bounds
from app.domain.progress import Progress, measure, number, read_counts
from app.domain.status_changes import StatusChange, sentence

NOT_COMPILED = "cannot be compiled"


def goal_without_counters(version: DefinitionVersion) -> dict[str, Any]:
    """The goal as a list shows it, while nobody can say where it stands."""
    override = version.body.get("status")
    unknown = {"current": None, "status": override, "freshAsOf": None, "stale": True}
    return {**definition_item(version), **unknown, "statusSource": "manual" if override else "auto"}


def goal_being_filled(defined: Mapping[str, Any], goal: Goal, state: Mapping[str, int]) -> dict[str, Any]:
    """No number before it is the right one, but how far it is."""
    done, total = (
        sum(number for name, number in state.items() if name.startswith(kind)) for kind in (fields.DONE, fields.TOTAL)
    )
    return {
        **defined,
        "current": None,
        "status": goal.status_override,
        "statusSource": "manual" if goal.status_override else "auto",
        "backfilling": True,
        "backfillProgress": round(done / total, 3) if total else 0,
        "freshAsOf": None,
        "recent": [],
    }


def goal_being_rebuilt(defined: Mapping[str, Any], goal: Goal) -> dict[str, Any]:
    """Never a wrong zero while the counters are counted again."""
    rebuilt = {"current": None, "status": goal.status_override, "rebuilding": True, "freshAsOf": None}
    return {**defined, **rebuilt, "statusSource": "manual" if goal.status_override else "auto"}


def definition_item(version: DefinitionVersion) -> dict[str, Any]:
    """A goal or a conversion goal as it was defined, with the defaults of what was left out.

    Older versions took texts that nobody can be sent: what holds one counts nothing since, and has a `problem`.
    """
    defined = writable(version.body)
    body = dict(defined)
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
    if defined is not version.body:
        item["problem"] = NOT_COMPILED
    item["revision"] = version.revision
    return item


def progress_fields(goal: Goal, progress: Progress) -> dict[str, Any]:
    """What a goal shows beside its definition."""
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


def status_change_item(change: StatusChange, goal: Mapping[str, Any]) -> dict[str, Any]:
    """A change of status of the goal, which is as lists show it, with its reason in words."""
    seen = change.seen
    return {
        "at": rfc3339(seen.at),
        "from": change.before,
        "to": seen.status,
        "cause": str(change.cause),
        "reason": sentence(change, is_rate=goal.get("aggregation") == Aggregation.RATE),
        "current": seen.current,
        "expected": seen.expected,
        "progress": seen.progress,
    }


def history_points(history: Mapping[str, int], goal: Goal) -> dict[str, Any]:
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


def past_periods(counters: Mapping[str, int], goal: Goal) -> list[dict[str, Any]]:
    """Each period in which something counted, oldest first: cut at the goal's start and deadline, and whole where it
    lies outside of them, since an edit moved these after it was counted."""
    if goal.period is None:
        return []
    starts = sorted({int(name[2:]) for name in counters if name[1:2] == "@"})
    found = []
    for start in starts:
        first, after = period_bounds(goal.period, start, goal.time_zone)
        if first != start:
            continue  # of the days of a goal that has months now, or the like
        begins, ends = max(first, goal.starts_at), min(after - 1, goal.ends_at)
        if begins > ends:
            begins, ends = first, after - 1
        at_its_end = measure(goal, read_counts(counters, fields.period_suffix(start)), ends, ends)
        shown = {"startsAt": rfc3339(begins), "endsAt": rfc3339(ends), "current": number(at_its_end.current)}
        found.append({**shown, "progress": number(at_its_end.progress)})
    return found
