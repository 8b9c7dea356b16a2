"""What a definition would count among recent events, and what an edit of it would gain and lose. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.domain.conversion_goal import ConversionGoal
from app.domain.event import Event
from app.domain.fields import HOUR_MS
from app.domain.matching import Explanation, explain, matches, verdicts
from app.domain.near_misses import impossible, warnings

MAX_SAMPLES = 5
_MOST_VALUED = 200
"""In so many events that would count a value is looked for."""


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


def preview(newest: Iterable[Event], definition: ConversionGoal, before: ConversionGoal | None = None) -> Preview:
    """Hold `definition` against events, the newest first; with `before`, also what the edit gains and loses.

    Corrections and copies of an event are left out: they are no conversions of their own.
    """
    result = Preview()
    events: list[Event] = []
    ids: set[str] = set()
    matching: list[Event] = []
    nearest: list[tuple[int, Event]] = []
    for event in newest:
        if event.corrects is not None or event.id in ids:
            continue
        if event.id is not None:
            ids.add(event.id)
        events.append(event)
        is_of_type = event.type == definition.event_type
        held = verdicts(event, definition) if is_of_type else ()
        matched = is_of_type and all(held)
        if before is not None:
            _compare(result, event, matched, matches(event, before))
        if not is_of_type:
            continue
        result.of_type += 1
        if not result.clauses:
            clauses = explain(event, definition).clauses
            result.clauses = [ClauseCount(clause.path, clause.operator, clause.wanted) for clause in clauses]
        for count, holds in zip(result.clauses, held, strict=True):
            count.of += 1
            count.held += holds
        if matched:
            result.matched += 1
            hour = event.occurred_at // HOUR_MS
            result.per_hour[hour] = result.per_hour.get(hour, 0) + 1
            _keep(matching, event, _MOST_VALUED)
        else:
            _keep_nearest(nearest, event, len(held) - sum(held))
    result.seen = len(events)
    result.matching = matching[:MAX_SAMPLES]
    result.missed = [(event, explain(event, definition)) for _, event in nearest]
    never_held = [(count.path, count.operator, count.wanted) for count in result.clauses if not count.held]
    result.warnings = impossible(definition) or warnings(events, definition, matching, never_held)
    asks_more = definition.url_pattern is not None or definition.condition is not None
    if asks_more and result.of_type and result.matched == result.of_type:
        result.warnings.append(_leaves_nothing_out(result.of_type))
    return result


def _leaves_nothing_out(number: int) -> str:
    which = "The one recent event" if number == 1 else f"Each of the last {number:,} events"
    return f"{which} of this type would count: what is asked beside the type leaves nothing out."


def _compare(result: Preview, event: Event, now: bool, then: bool) -> None:
    if now and then:
        result.unchanged += 1
    elif now:
        result.gained += 1
        _keep(result.gained_samples, event)
    elif then:
        result.lost += 1
        _keep(result.lost_samples, event)


def _keep(samples: list[Event], event: Event, most: int = MAX_SAMPLES) -> None:
    if len(samples) < most:
        samples.append(event)


def _keep_nearest(nearest: list[tuple[int, Event]], event: Event, failed: int) -> None:
    """`event` is older than those that are kept, and has to fail fewer clauses to replace one."""
    if len(nearest) < MAX_SAMPLES or failed < nearest[-1][0]:
        nearest.append((failed, event))
        nearest.sort(key=lambda one: one[0])
        del nearest[MAX_SAMPLES:]
