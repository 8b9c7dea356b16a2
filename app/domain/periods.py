"""Periods: how the calendar of a project's time zone lies over epoch milliseconds. Days have 23 to 25 hours.

Pure. A bound is a moment: the first one of the period, and the first one after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from app.domain.goal import Period

_DAY: Final = timedelta(days=1)
_LONGEST_MONTH: Final = timedelta(days=31)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_QUARTER_HOUR_MS: Final = 900_000
"""Time zones change their offset, and days begin, on whole quarters of an hour (since 1972; none is planned else)."""


def period_bounds(period: Period, at_ms: int, time_zone: str) -> tuple[int, int]:
    """Start and end (exclusive) of the period that holds the moment, both epoch ms. Repeated calls are cheap.

    Raises ZoneInfoNotFoundError for an unknown zone; OverflowError outside the years 1 to 9999.
    """
    return _bounds(period, at_ms // _QUARTER_HOUR_MS, time_zone)


def local_date(at_ms: int, time_zone: str) -> str:
    """The ISO date of the moment in the time zone."""
    return _local_date(at_ms // _QUARTER_HOUR_MS, time_zone)


def day_bounds(day: date, time_zone: str) -> tuple[int, int]:
    """Start and end (exclusive) of a calendar day in the time zone. Raises OverflowError like `period_bounds`."""
    return _midnight(day, time_zone), _midnight(day + _DAY, time_zone)


@lru_cache(maxsize=65_536)
def _bounds(period: Period, quarter_hour: int, time_zone: str) -> tuple[int, int]:
    first, after = _CALENDAR[period](_date_at(quarter_hour, time_zone))
    return _midnight(first, time_zone), _midnight(after, time_zone)


@lru_cache(maxsize=65_536)
def _local_date(quarter_hour: int, time_zone: str) -> str:
    return _date_at(quarter_hour, time_zone).isoformat()


def _date_at(quarter_hour: int, time_zone: str) -> date:
    at_ms = quarter_hour * _QUARTER_HOUR_MS
    day = (_EPOCH + at_ms * _MILLISECOND).astimezone(ZoneInfo(time_zone)).date()
    # Where the clock is set back over midnight, the day that has begun goes on.
    return day + _DAY if at_ms >= _midnight(day + _DAY, time_zone) else day


@lru_cache(maxsize=4096)
def _midnight(day: date, time_zone: str) -> int:
    """The first moment of the day. Where midnight comes twice it is the first one; where the clock jumps over midnight,
    the jump."""
    # A time in a gap is read with the offset before it, which leads to the jump; of two equal ones the first is meant.
    moment = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)
    return (moment - _EPOCH) // _MILLISECOND


def _day(day: date) -> tuple[date, date]:
    return day, day + _DAY


def _week(day: date) -> tuple[date, date]:
    monday = day - day.weekday() * _DAY
    return monday, monday + 7 * _DAY


def _months(day: date, length: int) -> tuple[date, date]:
    first = date(day.year, (day.month - 1) // length * length + 1, 1)
    # A few days into the month after them.
    return first, (first + length * _LONGEST_MONTH).replace(day=1)


_CALENDAR: Final[Mapping[Period, Callable[[date], tuple[date, date]]]] = {
    Period.DAY: _day,
    Period.WEEK: _week,
    Period.MONTH: lambda day: _months(day, 1),
    Period.QUARTER: lambda day: _months(day, 3),
    Period.YEAR: lambda day: _months(day, 12),
}
