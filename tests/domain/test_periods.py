"""Periods lie as the project's clock runs: daylight saving, midnights that jump or come twice."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.goal import Period
from app.domain.periods import day_bounds, local_date, period_bounds

HOUR = 3_600_000
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "moment", "zone", "start", "end"),
    [
        (Period.DAY, "2026-03-10T12:00Z", "UTC", "2026-03-10T00:00Z", "2026-03-11T00:00Z"),
        (Period.DAY, "2026-03-10T00:00Z", "UTC", "2026-03-10T00:00Z", "2026-03-11T00:00Z"),
        (Period.DAY, "2026-03-09T23:59:59.999Z", "UTC", "2026-03-09T00:00Z", "2026-03-10T00:00Z"),
        (Period.DAY, "2026-03-28T23:30Z", "Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        (Period.WEEK, "2026-03-29T21:59Z", "Europe/Berlin", "2026-03-23T00:00+01:00", "2026-03-30T00:00+02:00"),
        (Period.WEEK, "2026-03-29T22:00Z", "Europe/Berlin", "2026-03-30T00:00+02:00", "2026-04-06T00:00+02:00"),
        (Period.WEEK, "2027-01-01T00:00Z", "UTC", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
        (Period.MONTH, "2024-02-29T12:00Z", "UTC", "2024-02-01T00:00Z", "2024-03-01T00:00Z"),
        (Period.MONTH, "2026-12-31T23:59Z", "UTC", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        (Period.QUARTER, "2026-05-15T00:00Z", "UTC", "2026-04-01T00:00Z", "2026-07-01T00:00Z"),
        (Period.QUARTER, "2026-12-31T23:00Z", "Europe/Berlin", "2027-01-01T00:00+01:00", "2027-04-01T00:00+02:00"),
        (Period.YEAR, "2026-07-01T00:00Z", "America/New_York", "2026-01-01T00:00-05:00", "2027-01-01T00:00-05:00"),
    ],
)
def test_a_period_runs_from_its_first_moment_to_the_next_ones(
    period: Period, moment: str, zone: str, start: str, end: str
) -> None:
    assert period_bounds(period, ms(moment), zone) == (ms(start), ms(end))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Sao_Paulo", "2018-11-04", 23),  # midnight jumps to one o'clock
        ("America/Havana", "2024-11-03", 25),  # midnight comes twice
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Pacific/Apia", "2011-12-30", 0),  # the day that did not happen
        ("America/St_Johns", "2010-11-07", 25),  # set back from one past midnight
    ],
)
def test_days_are_as_long_as_the_clock_made_them(zone: str, day: str, hours: float) -> None:
    start, end = day_bounds(date.fromisoformat(day), zone)
    assert end - start == hours * HOUR


def test_a_day_that_has_begun_goes_on_though_the_clock_is_set_back_over_midnight() -> None:
    again_before_midnight = ms("2010-11-06T23:15-03:30")  # a minute past midnight the clock went back to 23:01
    assert local_date(again_before_midnight, "America/St_Johns") == "2010-11-07"
    start, end = period_bounds(Period.DAY, again_before_midnight, "America/St_Johns")
    assert (start, end) == (ms("2010-11-07T00:00-02:30"), ms("2010-11-08T00:00-03:30"))


moments = st.integers(ms("2000-01-01T00:00Z"), ms("2040-01-01T00:00Z"))


@given(moments, st.sampled_from(ZONES), st.sampled_from(Period))
def test_periods_hold_their_moments_and_join_without_a_gap(at: int, zone: str, period: Period) -> None:
    start, end = period_bounds(period, at, zone)
    assert start <= at < end
    assert period_bounds(period, start, zone) == (start, end)
    assert period_bounds(period, end - 1, zone) == (start, end)
    assert period_bounds(period, end, zone)[0] == end


@given(moments, st.sampled_from([zone for zone in ZONES if zone != "America/St_Johns"]))
def test_the_local_date_is_the_clocks(at: int, zone: str) -> None:
    wall = datetime.fromtimestamp(at // 1000, UTC).astimezone(ZoneInfo(zone))
    assert local_date(at, zone) == wall.date().isoformat()


@given(st.lists(moments, min_size=2, max_size=5), st.sampled_from(ZONES))
def test_local_dates_never_go_back(some: list[int], zone: str) -> None:
    dates = [local_date(at, zone) for at in sorted(some)]
    assert all(one <= other for one, other in pairwise(dates))


@given(moments, st.sampled_from(ZONES))
def test_a_local_date_has_the_bounds_of_its_day(at: int, zone: str) -> None:
    assert day_bounds(date.fromisoformat(local_date(at, zone)), zone) == period_bounds(Period.DAY, at, zone)
