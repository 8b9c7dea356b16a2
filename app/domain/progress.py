"""Progress: what a goal's counters mean at a moment. Current value, what was to be expected by now, status, projection.

Pure, exact (integers and fractions, never binary floats), and measured when it is asked for: a quiet goal falls behind
by itself.

The expectation is taken at the watermark, the moment up to which all events are counted, and not at the clock: a goal
never turns worse because the pipeline lags. Four kinds of goal:

- at least: from the baseline up to the target. Reached when `current >= target`.
- at most, baseline above the target: from the baseline down to it. Reached when `current <= target`.
- at most, else: the target is a budget, used up in a straight line. Over it, the goal is behind; within it when the
  time is over, completed. The budget's line is taken at the clock: at an earlier moment less is allowed, and what
  other partitions have counted since would make the goal look worse.
- rate: the target is expected at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

from app.domain import fields
from app.domain.conversion_goal import FOREVER
from app.domain.goal import Aggregation, Direction, Goal, Status
from app.domain.pace import LINEAR, Pace
from app.domain.periods import period_bounds

_Ratio: TypeAlias = tuple[int, int]
"""(part, of what); the latter is positive. Integers, since lists have thousands of goals, and a fraction costs some
twenty times as much."""
_NOTHING: Final = Decimal(0)
_COUNTS_FIELDS: Final = {
    Aggregation.COUNT: ("n", fields.LAST),
    Aggregation.UNIQUE: ("n", fields.LAST),
    Aggregation.SUM: ("v", "u", fields.LAST),
    Aggregation.RATE: ("n", "d", fields.LAST),
}
_FURTHEST_MS: Final = 100 * 366 * 86_400_000
"""A target that would be reached later than in a hundred years is not reached."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the counters of a goal say: of its whole time, or of one of its periods."""

    count: int = 0
    """Conversions; unique subjects for a goal that counts these."""
    value: Decimal = Decimal(0)
    denominator: int = 0
    last: int | None = None
    """When the newest conversion happened."""


@dataclass(frozen=True)
class Thresholds:
    """Least ratios of what was gained to what was expected, and the share of the time in which nothing is judged."""

    on_track: Decimal = Decimal("0.90")
    at_risk: Decimal = Decimal("0.75")
    grace: Decimal = Decimal("0.05")

    @cached_property
    def ratios(self) -> tuple[_Ratio, _Ratio, _Ratio]:
        """The same as integers."""
        return self.on_track.as_integer_ratio(), self.at_risk.as_integer_ratio(), self.grace.as_integer_ratio()


class Progress(NamedTuple):
    """A goal as it is shown. Numbers have at most six decimals; times are epoch ms."""

    current: Decimal
    expected: Decimal
    """The value that the pace asks for at `measured_at`."""
    projected: Decimal | None
    """The value at the end of the time if it goes on as until now; None while it is too early to say."""
    projected_at: int | None
    """When the target would be reached so; None when it is reached already, never, or too early to say."""
    progress: Decimal
    """The share of the way from the baseline to the target: 0.5 is half of it, more than 1 beyond it."""
    status: Status
    status_source: Literal["auto", "manual"]
    measured_at: int
    starts_at: int
    """Start of the goal's time or of the present period."""
    ends_at: int
    """Its last moment."""
    pace: str = LINEAR.name


DEFAULT_THRESHOLDS: Final = Thresholds()


def measure(
    goal: Goal,
    counts: Counts,
    now: int,
    fresh_as_of: int | None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    pace: Pace = LINEAR,
) -> Progress:
    """The progress of a goal whose counters say `counts`: those of the period that `shown_period(goal, now)` names.

    `fresh_as_of` is the watermark, None when nothing was ever read: then no time counts as gone by.
    """
    return measure_at(goal, counts, instant_of(goal, now, fresh_as_of), thresholds, pace)


class Instant(NamedTuple):
    """All that a goal's progress takes from the time: the same goal, counts and instant give the same progress."""

    starts_at: int
    """Start of the goal's time or of the present period."""
    ends_at: int
    """Its last moment."""
    measured_at: int
    is_over: bool


def instant_of(goal: Goal, now: int, fresh_as_of: int | None) -> Instant:
    """See `measure`. A budget's moves with the clock, any other goal's with the watermark alone."""
    starts_at, ends_at = shown_span(goal, now)
    seen = min(now, starts_at if fresh_as_of is None else fresh_as_of)
    moment = now if _is_budget(goal) else seen
    return Instant(starts_at, ends_at, min(max(moment, starts_at), ends_at + 1), seen > goal.ends_at)


def holds_until(goal: Goal, now: int, fresh_as_of: int | None) -> int:
    """Before this moment `instant_of` and `shown_period` say what they say now, as long as the watermark stays.

    A budget moves with the clock, and so does what is measured at the clock because the watermark is ahead of it.
    """
    if _is_budget(goal) or fresh_as_of is None or fresh_as_of > now:
        return now
    if goal.period is None or now >= goal.ends_at:
        return FOREVER
    return _period(goal, now)[1]


def measure_at(goal: Goal, counts: Counts, instant: Instant, thresholds: Thresholds, pace: Pace) -> Progress:
    """The goal's progress at that instant."""
    starts_at, ends_at, measured_at, is_over = instant
    line = _line(goal, counts, pace.share(starts_at, measured_at, ends_at + 1))
    elapsed, (_, _, (part, of)) = measured_at - starts_at, thresholds.ratios
    is_early = elapsed * of < part * (ends_at + 1 - starts_at)
    status = _status(goal, line, thresholds, is_early=is_early, is_over=is_over)
    projected, after = (None, None) if is_early else _project(goal, line, elapsed)
    return Progress(
        current=_rounded(line.current, line.unit),
        expected=_expected(goal, line),
        projected=projected,
        projected_at=None if after is None or _is_reached(goal, line) else starts_at + after,
        progress=_share_of_way(goal, line),
        status=goal.status_override or status,
        status_source="auto" if goal.status_override is None else "manual",
        measured_at=measured_at,
        starts_at=starts_at,
        ends_at=ends_at,
        pace=pace.name,
    )


def shown_span(goal: Goal, now: int) -> tuple[int, int]:
    """First and last moment of the time in which the target is to be reached: the goal's own, or the present period's
    part of it (the first before the goal's start, the last after its deadline)."""
    if goal.period is None:
        return goal.starts_at, goal.ends_at
    first, after = _period(goal, now)
    return max(first, goal.starts_at), min(after - 1, goal.ends_at)


def shown_period(goal: Goal, now: int) -> str:
    """The suffix of the counters to be shown (see fields.py): of the present period, or nothing for a goal without."""
    return "" if goal.period is None else fields.period_suffix(_period(goal, now)[0])


def counts_fields(goal: Goal, suffix: str) -> tuple[str, ...]:
    """The fields that `read_counts` needs for this goal and suffix."""
    return tuple(name if name == fields.LAST else name + suffix for name in _COUNTS_FIELDS[goal.aggregation])


def read_counts(found: Mapping[str, int], suffix: str = "") -> Counts:
    """The counts in a goal's fields, of its whole time or of the period with this suffix."""
    whole, millionths = found.get("v" + suffix, 0), found.get("u" + suffix, 0)
    return Counts(
        count=found.get("n" + suffix, 0),
        value=fields.exact_value(whole, millionths) if whole or millionths else _NOTHING,
        denominator=found.get("d" + suffix, 0),
        last=found.get(fields.LAST),
    )


def number(value: Decimal) -> int | float:
    """As JSON shows it: an integer when it is whole."""
    return int(value) if value == value.to_integral_value() else float(value)


# ---------------------------------------------------------------- the rules


class _Line(NamedTuple):
    """Where a goal stands on its way from start to target. Exact, and in integers, of which `unit` make 1."""

    unit: int
    start: int
    target: int
    current: int
    gone: int
    """So much of `whole` is the share of the way that is expected by the moment of measurement."""
    whole: int
    way: int
    """From the start to the target."""
    gained: int


def _line(goal: Goal, counts: Counts, share: _Ratio) -> _Line:
    start, target = _millionths(goal.start_value), _millionths(goal.target)
    unit = fields.MICRO
    if goal.aggregation is Aggregation.RATE:
        # Below 0 when what was taken back was counted before the goal was there.
        sign = -1 if counts.denominator < 0 else 1
        parts = abs(counts.denominator) or 1
        current = sign * 100 * counts.count * fields.MICRO if counts.denominator else 0
        unit, start, target = unit * parts, start * parts, target * parts
    else:
        is_sum = goal.aggregation is Aggregation.SUM
        current = start + (int(counts.value * fields.MICRO) if is_sum else counts.count * fields.MICRO)
    return _Line(unit, start, target, current, *share, target - start, current - start)


def _expected(goal: Goal, line: _Line) -> Decimal:
    if goal.aggregation is Aggregation.RATE:
        return _rounded(line.target, line.unit)
    return _rounded(line.start * line.whole + line.way * line.gone, line.unit * line.whole)


def _is_budget(goal: Goal) -> bool:
    return goal.direction is Direction.AT_MOST and goal.start_value <= goal.target


def _is_reached(goal: Goal, line: _Line) -> bool:
    """Whether the target is reached; a budget's when it is passed."""
    if _is_budget(goal):
        return line.current > line.target
    return line.current <= line.target if goal.direction is Direction.AT_MOST else line.current >= line.target


def _status(goal: Goal, line: _Line, thresholds: Thresholds, *, is_early: bool, is_over: bool) -> Status:
    is_reached = _is_reached(goal, line)
    if _is_budget(goal):
        if is_reached:
            return Status.BEHIND
        if is_over:
            return Status.COMPLETED
    elif is_reached:
        return Status.COMPLETED
    elif is_over:
        return Status.BEHIND
    if is_early:
        return Status.ON_TRACK
    have, wanted = _pace_ratio(goal, line)
    on_track, at_risk, _ = thresholds.ratios
    if _is_at_least(have, on_track, wanted):
        return Status.ON_TRACK
    return Status.AT_RISK if _is_at_least(have, at_risk, wanted) else Status.BEHIND


def _pace_ratio(goal: Goal, line: _Line) -> tuple[int, int]:
    """What is there and what should be, both in the direction of the goal: their ratio decides."""
    if goal.aggregation is Aggregation.RATE:
        have, wanted = line.current, line.target
    else:
        have, wanted = line.gained * line.whole, line.way * line.gone
    if _is_budget(goal):
        return wanted, have
    return (have, wanted) if goal.direction is Direction.AT_LEAST else (-have, -wanted)


def _is_at_least(have: int, ratio: _Ratio, wanted: int) -> bool:
    part, of = ratio
    return have * of >= part * wanted


def _project(goal: Goal, line: _Line, elapsed: int) -> tuple[Decimal | None, int | None]:
    """The value at the end at the pace until now, and how many ms after the start the target is reached at it."""
    if goal.aggregation is Aggregation.RATE:
        return _rounded(line.current, line.unit), None
    if not line.gone or not elapsed:
        return None, None
    way, gained = line.way, line.gained
    projected = _rounded(line.start * line.gone + gained * line.whole, line.unit * line.gone)
    if not gained or way * gained < 0:
        return projected, None
    after = way * elapsed // gained
    return projected, after if after < _FURTHEST_MS else None


def _share_of_way(goal: Goal, line: _Line) -> Decimal:
    way, gained = line.way, line.gained
    if not way:
        return Decimal(1) if _is_reached(goal, line) else _NOTHING
    return _rounded(abs(gained), abs(way)) if way * gained > 0 else _NOTHING


def _period(goal: Goal, now: int) -> tuple[int, int]:
    if goal.period is None:
        raise ValueError("the goal has no period")
    return period_bounds(goal.period, min(max(now, goal.starts_at), goal.ends_at), goal.time_zone)


@lru_cache(maxsize=20_000)
def _millionths(value: Decimal) -> int:
    """Of a target or a baseline: these have six decimals at most, as sums have."""
    return int(value * fields.MICRO)


def _rounded(numerator: int, denominator: int) -> Decimal:
    """The fraction to six decimals, half to even; the denominator is positive."""
    millionths, rest = divmod(numerator * fields.MICRO, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and millionths % 2):
        millionths += 1
    whole, part = divmod(millionths, fields.MICRO)
    return Decimal(millionths) / fields.MICRO if part else Decimal(whole)
