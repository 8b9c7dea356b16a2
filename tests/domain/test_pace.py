"""A learned pace follows the project's weeks; a linear one is a straight line."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.pace import LINEAR, Pace, SeasonalPace, learn_pace

HOUR = 3_600_000
WEEK = 168 * HOUR


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


UNTIL = ms("2026-09-21T00:00Z")  # a Monday


def hourly(weeks: int, *, offset: int = 0) -> dict[int, int]:
    """Ten an hour on working days from nine to five in a zone `offset` hours ahead, for whole weeks before UNTIL."""
    last = UNTIL // HOUR
    history: dict[int, int] = {last - weeks * 168: 1}
    for hour in range(last - weeks * 168, last):
        of_week = (hour + offset + 72) % 168
        if of_week // 24 < 5 and 9 <= of_week % 24 < 17:
            history[hour] = 10
    return history


def learned(weeks: int = 4, zone: str = "UTC", *, offset: int = 0) -> SeasonalPace:
    pace = learn_pace(hourly(weeks, offset=offset), UNTIL, zone)
    assert pace is not None
    return pace


def share(pace: Pace, start: int, at: int, end: int) -> Fraction:
    return Fraction(*pace.share(start, at, end))


def test_a_linear_pace_is_the_share_of_the_time() -> None:
    assert share(LINEAR, 0, 25, 100) == Fraction(1, 4)
    assert [share(LINEAR, 0, at, 100) for at in (0, 100)] == [0, 1]


@pytest.mark.parametrize(("weeks", "is_learned"), [(0, False), (3, False), (4, True), (5, True), (9, True)])
def test_four_whole_weeks_are_needed(weeks: int, is_learned: bool) -> None:
    assert (learn_pace(hourly(weeks) if weeks else {}, UNTIL, "UTC") is not None) is is_learned


def test_an_hour_less_than_four_weeks_is_too_little() -> None:
    history = hourly(4)
    del history[min(history)]
    assert learn_pace(history, UNTIL, "UTC") is None


def test_hours_that_are_not_over_do_not_count() -> None:
    history = hourly(4)
    history[UNTIL // HOUR] = 10**9
    assert learn_pace(history, UNTIL, "UTC") == learned()


def test_little_is_expected_of_a_night_and_of_a_weekend() -> None:
    pace = learned()
    monday = ms("2026-09-28T00:00Z")
    assert share(pace, monday, monday + 9 * HOUR, monday + WEEK) < Fraction(1, 100)
    assert share(pace, monday, monday + 17 * HOUR, monday + WEEK) > Fraction(19, 100)
    friday = share(pace, monday, monday + 4 * 24 * HOUR + 17 * HOUR, monday + WEEK)
    assert Fraction(97, 100) < friday < 1


def test_the_week_is_that_of_the_projects_clock() -> None:
    tokyo = learned(zone="Asia/Tokyo", offset=9)
    monday = ms("2026-09-28T00:00+09:00")
    assert share(tokyo, monday, monday + 17 * HOUR, monday + WEEK) > Fraction(19, 100)


def test_whole_weeks_are_equal_shares() -> None:
    start = ms("2026-09-23T15:27Z")
    assert share(learned(), start, start + WEEK, start + 4 * WEEK) == Fraction(1, 4)


def test_an_hour_is_a_straight_line() -> None:
    pace = learned()
    ten = ms("2026-09-28T10:00Z")
    assert share(pace, ten, ten + HOUR // 4, ten + HOUR) == Fraction(1, 4)


moments = st.integers(ms("2024-01-01T00:00Z"), ms("2028-01-01T00:00Z"))


@given(st.tuples(moments, moments, moments, moments), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
def test_a_share_goes_from_nothing_to_all_and_never_falls(some: tuple[int, ...], zone: str) -> None:
    start, one, other, end = sorted(some)
    if start == end:
        end += 1
    pace = learned(zone=zone)
    shares = [share(pace, start, at, end) for at in (start, one, other, end)]
    assert shares == sorted(shares)
    assert [shares[0], shares[-1]] == [0, 1]
