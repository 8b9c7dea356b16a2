"""The effect: which counters an event moves, given the conversion goals that it matched. Pure.

An effect holds for events that occurred, and were received, within stretches of time in which nothing changes: no hour,
day or period ends, no goal starts or ends, no version of a goal takes over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.domain import fields
from app.domain.conversion_goal import ConversionGoal, Counting
from app.domain.event import Event
from app.domain.goal import Aggregation, Goal, Period
from app.domain.increments import Change, Counter, Part, Whose
from app.domain.periods import local_date, period_bounds
from app.domain.properties import exact_number
from app.domain.type_index import Feed


@dataclass(frozen=True, slots=True)
class Effect:
    """See the module. Bounds are epoch ms, the lower inclusive, the upper exclusive."""

    parts: tuple[Part, ...]
    value_paths: tuple[tuple[str, ...] | None, ...]
    """Per part, where the event's value is; None where none is asked for."""
    occurred: tuple[int, int]
    received: tuple[int, int]
    is_simple: bool
    """Whether all that is needed is to add one to each of `counters`."""
    counters: tuple[Counter, ...]
    last: tuple[str, ...]
    """Of all parts."""
    backfills: tuple[tuple[str, Effect], ...] = ()
    """By name, the effects of the backfills that the matched conversion goals feed."""

    def fits(self, occurred_at: int, received_at: int) -> bool:
        return self.occurred[0] <= occurred_at < self.occurred[1] and self.received[0] <= received_at < self.received[1]

    def change(self, event: Event) -> Change:
        """What the event adds."""
        found: dict[tuple[str, ...], tuple[int, int] | None] = {}
        for path in self.value_paths:
            if path is not None and path not in found:
                found[path] = exact_number(event.data, path)
        return Change(self.parts, tuple(None if path is None else found[path] for path in self.value_paths))

    def reversal(self, event: Event) -> Change:
        """What taking the event back adds. What was guarded stays: the session or the subject was there."""
        change = self.change(event)
        kept = [(p, v) for p, v in zip(change.parts, change.values, strict=True) if p.guard is None]
        parts = tuple(replace(part, uniques=()) for part, _ in kept)
        return Change(parts, tuple(value for _, value in kept), sign=-1)


NO_EFFECT: Final = Effect((), (), (0, 0), (0, 0), is_simple=True, counters=(), last=())
"""Moves nothing."""


class _Stretch:
    """A stretch of time around a moment, narrowed by each boundary."""

    def __init__(self, at: int, since: int, until: int) -> None:
        self._at, self.since, self.until = at, since, until

    def narrow(self, boundary: int) -> None:
        if boundary <= self._at:
            self.since = max(self.since, boundary)
        else:
            self.until = min(self.until, boundary)

    def narrow_all(self, boundaries: Iterable[int]) -> None:
        for boundary in boundaries:
            self.narrow(boundary)


def effect_of(feeds: Sequence[Feed], occurred_at: int, received_at: int) -> Effect:
    """The effect for events that matched `feeds`, valid around these two moments."""
    hour = occurred_at // fields.HOUR_MS * fields.HOUR_MS
    occurred = _Stretch(occurred_at, hour, hour + fields.HOUR_MS)
    received = _Stretch(received_at, -(2**62), 2**62)
    parts: list[Part] = []
    value_paths: list[tuple[str, ...] | None] = []
    for feed in feeds:
        definition = feed.definition
        counted: list[Counter] = []
        valued: list[Counter] = []
        uniques: list[tuple[str, tuple[Counter, ...]]] = []
        reached: list[str] = []
        last: list[str] = []
        if feed.counts_itself:
            last.append(fields.conversion_goal_owner(definition.id))
            own = valued if definition.value_property else counted
            own.extend(_conversion_goal_counters(definition, occurred_at))
        for goal in feed.goals:
            if not _goal_counts(goal, occurred, received, (occurred_at, received_at)):
                continue
            last.append(fields.goal_owner(goal.id))
            reached.append(goal.id)
            counters = _goal_counters(goal, occurred_at, occurred, "n")
            if goal.aggregation is Aggregation.UNIQUE:
                suffix = counters[0][1][1:]
                uniques.append((f"q:{goal.id}{suffix}", counters))
            elif goal.aggregation is Aggregation.SUM:
                valued.extend(counters)
            else:
                counted.extend(counters)
        for goal in feed.denominators:
            if _goal_counts(goal, occurred, received, (occurred_at, received_at)):
                counted.extend(_goal_counters(goal, occurred_at, occurred, "d"))
                reached.append(goal.id)
        for backfill in feed.backfills.values():
            filled = (*backfill.goals, *backfill.denominators)
            reached += [g.id for g in filled if _goal_counts(g, occurred, received, (occurred_at, received_at))]
        if feed.counts_itself or counted or valued or uniques:
            ident = definition.id if feed.counts_itself else ""
            parts.append(
                Part(
                    *(tuple(counted), tuple(valued), _guard(definition), tuple(uniques)),
                    conversion_goal=ident,
                    metric=definition.metric,
                    revision=definition.revision,
                    goals=tuple(dict.fromkeys(reached)),
                    last=tuple(last),
                )
            )
            value_paths.append(definition.value_property)
    backfills = _backfill_effects(feeds, occurred_at, received_at)
    for _, effect in backfills:
        occurred.narrow_all(effect.occurred)
        received.narrow_all(effect.received)
    return Effect(
        parts=tuple(parts),
        value_paths=tuple(value_paths),
        occurred=(occurred.since, occurred.until),
        received=(received.since, received.until),
        is_simple=not any(part.guard or part.uniques for part in parts) and not any(value_paths),
        counters=tuple(counter for part in parts for counter in (*part.counted, *part.valued)),
        last=tuple(owner for part in parts for owner in part.last),
        backfills=backfills,
    )


def _backfill_effects(feeds: Iterable[Feed], occurred_at: int, received_at: int) -> tuple[tuple[str, Effect], ...]:
    fed: dict[str, list[Feed]] = {}
    for feed in feeds:
        for name, own in feed.backfills.items():
            fed.setdefault(name, []).append(own)
    return tuple((name, effect_of(own, occurred_at, received_at)) for name, own in fed.items())


def _guard(definition: ConversionGoal) -> tuple[str, Whose] | None:
    if definition.counting is Counting.EVERY_EVENT:
        return None
    whose = Whose.SESSION if definition.counting is Counting.ONCE_PER_SESSION else Whose.SUBJECT
    return (f"o:{definition.id}", whose)


def _goal_counts(goal: Goal, occurred: _Stretch, received: _Stretch, at: tuple[int, int]) -> bool:
    occurred_at, received_at = at
    received.narrow_all((goal.effective_from, goal.effective_until))
    if not goal.effective_from <= received_at < goal.effective_until:
        return False
    occurred.narrow_all((goal.starts_at, goal.ends_at + 1))
    return goal.starts_at <= occurred_at <= goal.ends_at


def _conversion_goal_counters(definition: ConversionGoal, occurred_at: int) -> tuple[Counter, ...]:
    owner, history = fields.conversion_goal_owner(definition.id), fields.conversion_goal_history_owner(definition.id)
    return ((owner, "n"), (history, "n" + fields.hour_suffix(occurred_at)))


def _goal_counters(goal: Goal, occurred_at: int, occurred: _Stretch, letter: str) -> tuple[Counter, ...]:
    """The goal's total or its period's, then its history by hour and by day of the project's time zone."""
    owner, history = fields.goal_owner(goal.id), fields.goal_history_owner(goal.id)
    day = period_bounds(Period.DAY, occurred_at, goal.time_zone)
    occurred.narrow_all(day)
    suffix = ""
    if goal.period is not None:
        period = period_bounds(goal.period, occurred_at, goal.time_zone)
        occurred.narrow_all(period)
        suffix = fields.period_suffix(period[0])
    return (
        (owner, letter + suffix),
        (history, letter + fields.hour_suffix(occurred_at)),
        (history, letter + fields.day_suffix(local_date(occurred_at, goal.time_zone))),
    )
