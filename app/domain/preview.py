"""What a definition would count among recent events, what it narrowly misses, and what the events look like. Pure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.domain.contradiction import contradictions
from app.domain.conversion_goal import ConversionGoal
from app.domain.event import Event
from app.domain.fields import HOUR_MS
from app.domain.matching import Explanation, explain, matches
from app.domain.wording import describe_clause

MAX_SAMPLES = 5
MAX_TYPES, MAX_PATHS, MAX_PROPERTIES, MAX_EXAMPLES = 200, 50, 100, 5
_ID_SEGMENT = re.compile(r"^(\d+|[0-9a-f]{8,}|[0-9a-f-]{32,})$", re.IGNORECASE)


@dataclass(slots=True)
class ClauseCount:
    """How many of the recent events of the type a clause held for."""

    path: str
    operator: str
    wanted: object
    held: int = 0
    of: int = 0


@dataclass(slots=True)
class Preview:
    """`matched` of `seen` events would count. Samples are the newest of their kind."""

    seen: int = 0
    of_type: int = 0
    matched: int = 0
    per_hour: dict[int, int] = field(default_factory=dict)
    """Hour since the epoch -> matches."""
    matching: list[Event] = field(default_factory=list)
    missed: list[tuple[Event, Explanation]] = field(default_factory=list)
    """The nearest misses: events of the type that fail the fewest clauses, the newest first, with the reason."""
    clauses: list[ClauseCount] = field(default_factory=list)
    gained: int = 0
    lost: int = 0
    unchanged: int = 0
    gained_samples: list[Event] = field(default_factory=list)
    lost_samples: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def preview(events: Sequence[Event], definition: ConversionGoal, before: ConversionGoal | None = None) -> Preview:
    """Hold `definition` against `events` (oldest first); with `before`, also what the edit gains and loses."""
    result = Preview(seen=len(events))
    counts: dict[int, ClauseCount] = {}
    for event in reversed(events):
        matched = matches(event, definition)
        if before is not None:
            _compare(result, event, matched, matches(event, before))
        if event.type != definition.event_type:
            continue
        result.of_type += 1
        explanation = explain(event, definition)
        for number, clause in enumerate(explanation.clauses):
            count = counts.setdefault(number, ClauseCount(clause.path, clause.operator, clause.wanted))
            count.of += 1
            count.held += clause.holds
        if matched:
            result.matched += 1
            hour = event.occurred_at // HOUR_MS
            result.per_hour[hour] = result.per_hour.get(hour, 0) + 1
            _keep(result.matching, event)
        else:
            _keep_nearest(result.missed, event, explanation)
    result.clauses = list(counts.values())
    result.warnings = _warnings(events, definition, result)
    return result


def _compare(result: Preview, event: Event, now: bool, then: bool) -> None:
    if now and then:
        result.unchanged += 1
    elif now:
        result.gained += 1
        _keep(result.gained_samples, event)
    elif then:
        result.lost += 1
        _keep(result.lost_samples, event)


def _keep(samples: list[Event], event: Event) -> None:
    if len(samples) < MAX_SAMPLES:
        samples.append(event)


def _keep_nearest(missed: list[tuple[Event, Explanation]], event: Event, explanation: Explanation) -> None:
    """`event` is older than those that are kept, and has to fail fewer clauses to replace one."""
    if len(missed) < MAX_SAMPLES or _failed(explanation) < _failed(missed[-1][1]):
        missed.append((event, explanation))
        missed.sort(key=lambda one: _failed(one[1]))
        del missed[MAX_SAMPLES:]


def _failed(explanation: Explanation) -> int:
    return sum(not clause.holds for clause in explanation.clauses)


def impossible(definition: ConversionGoal) -> list[str]:
    """A warning for each property that can never be as the definition asks, whatever events come."""
    found = contradictions(definition.condition) if definition.condition is not None else []
    return [f"No event can ever count: {told}." for told in found]


def _warnings(events: Sequence[Event], definition: ConversionGoal, result: Preview) -> list[str]:
    never = impossible(definition)
    if never:
        return never
    if not events:
        return ["No recent events to compare with: the definition is saved as it is."]
    if not result.of_type:
        types = Counter(event.type for event in events)
        near = _nearest(definition.event_type, types)
        hint = f' Did you mean "{near}" ({types[near]} events)?' if near else ""
        return [f'None of the last {len(events)} events has the type "{definition.event_type}".{hint}']
    if result.matched:
        asks_for_more = len(result.clauses) > 1
        return [_leaves_nothing_out(result.of_type)] if asks_for_more and result.matched == result.of_type else []
    warnings = [f"None of the last {result.of_type} events of this type would count."]
    warnings.extend(_near_misses(events, definition))
    warnings.extend(
        f"No recent event holds: {describe_clause(count.path, count.operator, count.wanted)}."
        for count in result.clauses
        if not count.held
    )
    return warnings


def _leaves_nothing_out(number: int) -> str:
    which = "The one recent event" if number == 1 else f"Each of the last {number} events"
    return f"{which} of this type would count: what is asked beside the type leaves nothing out."


def _near_misses(events: Sequence[Event], definition: ConversionGoal) -> list[str]:
    pattern = definition.url_pattern
    if pattern is None or not pattern.source.startswith("/"):
        return []
    paths = Counter(
        path for event in events if event.type == definition.event_type and (path := _path(event.url)) is not None
    )
    wanted = pattern.source
    found = []
    for path, number in paths.items():
        if path.rstrip("/") == wanted.rstrip("/") and path != wanted:
            found.append(f"{number} events had this path with{'' if path.endswith('/') else 'out'} a trailing slash.")
        elif path.lower() == wanted.lower() and path != wanted:
            found.append(f"{number} events had this path in another case: {path}.")
    return found[:3]


def _nearest(wanted: str, known: Iterable[str]) -> str | None:
    folded = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in known}
    key = re.sub(r"[^a-z0-9]", "", wanted.lower())
    if key in folded:
        return folded[key]
    close = difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.7)
    return close[0] if close else None


@dataclass(slots=True)
class EventType:
    """A type seen lately: how often, where, and with which properties."""

    type: str
    count: int = 0
    last_at: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    properties: dict[str, PropertySeen] = field(default_factory=dict)


@dataclass(slots=True)
class PropertySeen:
    """A property seen lately, by its dotted path."""

    count: int = 0
    kinds: set[str] = field(default_factory=set)
    examples: list[object] = field(default_factory=list)


def discover(events: Iterable[Event]) -> list[EventType]:
    """The types among the events, most frequent first, with templated paths and properties; all bounded."""
    types: dict[str, EventType] = {}
    for event in events:
        seen = types.get(event.type)
        if seen is None:
            if len(types) >= MAX_TYPES:
                continue
            seen = types[event.type] = EventType(event.type)
        seen.count += 1
        seen.last_at = max(seen.last_at, event.occurred_at)
        if event.url:
            path = path_template(event.url)
            if path in seen.paths or len(seen.paths) < MAX_PATHS:
                seen.paths[path] += 1
        _discover_properties(seen.properties, event.properties, "", 0)
    return sorted(types.values(), key=lambda seen: (-seen.count, seen.type))


def _discover_properties(
    known: dict[str, PropertySeen], properties: Mapping[str, object], prefix: str, depth: int
) -> None:
    for name, value in properties.items():
        path = prefix + name
        if isinstance(value, Mapping) and depth < 3:
            _discover_properties(known, value, path + ".", depth + 1)
            continue
        seen = known.get(path)
        if seen is None:
            if len(known) >= MAX_PROPERTIES:
                continue
            seen = known[path] = PropertySeen()
        seen.count += 1
        seen.kinds.add(_kind(value))
        if value not in seen.examples and len(seen.examples) < MAX_EXAMPLES and not isinstance(value, list | Mapping):
            seen.examples.append(value[:100] if isinstance(value, str) else value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def path_template(url: str) -> str:
    """The path with what looks like an id replaced: `/products/4711/reviews` -> `/products/:id/reviews`."""
    path = _path(url)
    if path is None:
        return "(not a URL)"
    return "/".join(":id" if _ID_SEGMENT.match(segment) else segment for segment in path.split("/"))[:200]


def _path(url: str | None) -> str | None:
    """None for what is no URL: anybody may send `http://[::1`."""
    try:
        return (urlsplit(url).path or "/") if url else None
    except ValueError:
        return None
