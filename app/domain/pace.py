"""Pace: which share of a stretch of time counts as gone by: a straight line, or as the project's own weeks go. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import accumulate
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from app.domain.fields import HOUR_MS

HOURS_OF_WEEK: Final = 168
WEEKS_NEEDED: Final = 4
"""Whole weeks of history before a learned pace says anything."""
MAX_WEEKS: Final = 5
_MONDAY_OFFSET: Final = 72
"""The epoch began on a Thursday: hours from the Monday before it."""
_SMOOTHING: Final = Fraction(1, 20)
"""The part of each hour's weight that is spread evenly, so that no hour of the week is expected to bring nothing."""


class Pace(Protocol):
    @property
    def name(self) -> str: ...

    def share(self, start: int, at: int, end: int) -> tuple[int, int]:
        """The share of what [start, end) brings that is expected by `at`: 0 at the start, 1 at the end, never falling.

        As a part of a positive number. Epoch ms; `start < end`, `start <= at <= end`.
        """
        ...


@dataclass(frozen=True, slots=True)
class LinearPace:
    """A straight line."""

    name: str = "linear"

    def share(self, start: int, at: int, end: int) -> tuple[int, int]:
        return at - start, end - start


LINEAR: Final = LinearPace()


@dataclass(frozen=True, slots=True)
class SeasonalPace:
    """As the hours of the week usually go. Build it with `learn_pace`."""

    cumulative: Sequence[Fraction]
    """Weight of the week's first 0, 1 ... 168 hours, Monday 0:00 of the time zone first."""
    time_zone: str
    name: str = "seasonal"

    def share(self, start: int, at: int, end: int) -> tuple[int, int]:
        # One offset for the whole stretch: an hour's shift for half of a year, but the share never falls.
        offset = _offset_ms(start, self.time_zone)
        begun = self._weight_until(start + offset)
        whole = self._weight_until(end + offset) - begun
        return ((self._weight_until(at + offset) - begun) / whole).as_integer_ratio()

    def _weight_until(self, wall_ms: int) -> Fraction:
        hours, rest = divmod(wall_ms, HOUR_MS)
        weeks, hour = divmod(hours + _MONDAY_OFFSET, HOURS_OF_WEEK)
        before, after = self.cumulative[hour], self.cumulative[hour + 1]
        return weeks * self.cumulative[-1] + before + (after - before) * Fraction(rest, HOUR_MS)


def learn_pace(hourly: Mapping[int, int], until: int, time_zone: str) -> SeasonalPace | None:
    """The pace of the last whole weeks before `until` (epoch ms), at most five; None with less than four of them.

    `hourly` counts by hour since the epoch; an hour that is missing brought nothing. The history begins with its
    earliest hour.
    """
    last = until // HOUR_MS
    known = [hour for hour, count in hourly.items() if hour < last and count > 0]
    weeks = min((last - min(known)) // HOURS_OF_WEEK, MAX_WEEKS) if known else 0
    if weeks < WEEKS_NEEDED:
        return None
    offset = _offset_ms(until, time_zone) // HOUR_MS
    weights = [0] * HOURS_OF_WEEK
    for hour in range(last - weeks * HOURS_OF_WEEK, last):
        weights[(hour + offset + _MONDAY_OFFSET) % HOURS_OF_WEEK] += max(hourly.get(hour, 0), 0)
    total = sum(weights)
    if not total:
        return None
    even = _SMOOTHING * total / HOURS_OF_WEEK
    smooth = [(1 - _SMOOTHING) * weight + even for weight in weights]
    return SeasonalPace(tuple(accumulate(smooth, initial=Fraction(0))), time_zone)


def _offset_ms(at: int, time_zone: str) -> int:
    offset = datetime.fromtimestamp(at // 1000, UTC).astimezone(ZoneInfo(time_zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) * 1000
