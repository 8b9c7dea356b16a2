"""Progress and status: both sides of every boundary, and what lag may not do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.conversion_goal import FOREVER
from app.domain.goal import Aggregation, Direction, Goal, Period, Status
from app.domain.progress import (
    Counts,
    Progress,
    Thresholds,
    holds_until,
    instant_of,
    measure,
    number,
    read_counts,
    shown_period,
    shown_span,
)

SECOND = 1000
DAY = 86_400_000
START = 1_788_220_800_000  # 2026-09-01T00:00Z
END = START + 100 * DAY - 1

GOAL = Goal(
    id="g",
    project="p",
    metric="m",
    target=Decimal(1000),
    deadline="2026-12-09",
    starts_at=START,
    ends_at=END,
    created_at=START,
)
BUDGET = replace(GOAL, direction=Direction.AT_MOST)
DESCENT = replace(BUDGET, start_value=Decimal(1000), target=Decimal(0), aggregation=Aggregation.SUM)
RATE = replace(GOAL, aggregation=Aggregation.RATE, denominator_metric="visits", target=Decimal(10))


def at(goal: Goal, day: float, count: int = 0, *, fresh: float | None = None, **counts: object) -> Progress:
    now = START + round(day * DAY)
    fresh_as_of = now if fresh is None else START + round(fresh * DAY)
    return measure(goal, Counts(count=count, **counts), now, fresh_as_of)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("day", "count", "status"),
    [
        (50, 450, Status.ON_TRACK),
        (50, 449, Status.AT_RISK),
        (50, 375, Status.AT_RISK),
        (50, 374, Status.BEHIND),
        (50, 0, Status.BEHIND),
        (50, 999, Status.ON_TRACK),
        (50, 1000, Status.COMPLETED),
        (0, 0, Status.ON_TRACK),
        (0, 1000, Status.COMPLETED),
        (-10, 0, Status.ON_TRACK),
        (200, 999, Status.BEHIND),
        (200, 1000, Status.COMPLETED),
    ],
)
def test_the_ratio_to_the_straight_line_decides(day: float, count: int, status: Status) -> None:
    assert at(GOAL, day, count).status is status


def test_the_first_twentieth_of_the_time_is_not_judged() -> None:
    edge = START + 5 * DAY
    assert measure(GOAL, Counts(), edge - 1, edge - 1).status is Status.ON_TRACK
    assert measure(GOAL, Counts(), edge, edge).status is Status.BEHIND
    assert measure(GOAL, Counts(), edge - SECOND, edge - SECOND).projected is None
    assert measure(GOAL, Counts(), edge, edge).projected == 0


def test_the_deadline_belongs_to_the_time_and_the_moment_after_it_does_not() -> None:
    almost = Counts(count=999)
    assert measure(GOAL, almost, END - SECOND, END - SECOND).status is Status.ON_TRACK
    assert measure(GOAL, almost, END, END).status is Status.ON_TRACK
    assert measure(GOAL, almost, END + 1, END + 1).status is Status.BEHIND
    assert measure(GOAL, almost, END + SECOND, END + SECOND).status is Status.BEHIND


def test_after_the_deadline_a_goal_is_not_behind_before_all_its_events_are_counted() -> None:
    assert measure(GOAL, Counts(count=999), END + DAY, END - SECOND).status is Status.ON_TRACK
    assert measure(GOAL, Counts(count=999), END + DAY, END).status is Status.ON_TRACK


def test_expectation_is_measured_at_the_watermark() -> None:
    lagging = at(GOAL, 80, 450, fresh=50)
    assert (lagging.status, lagging.expected, lagging.measured_at) == (Status.ON_TRACK, Decimal(500), START + 50 * DAY)
    assert at(GOAL, 80, 450).status is Status.BEHIND


def test_a_watermark_ahead_of_the_clock_changes_nothing() -> None:
    assert at(GOAL, 50, 450, fresh=60) == at(GOAL, 50, 450)


def test_nothing_is_expected_while_nothing_was_ever_read() -> None:
    progress = measure(GOAL, Counts(), END + DAY, None)
    assert (progress.status, progress.expected, progress.current) == (Status.ON_TRACK, Decimal(0), Decimal(0))


def test_an_override_shows_its_status_and_says_so() -> None:
    progress = at(replace(GOAL, status_override=Status.AT_RISK), 50, 0)
    assert (progress.status, progress.status_source) == (Status.AT_RISK, "manual")
    without = at(GOAL, 50, 0)
    assert (without.status, without.status_source) == (Status.BEHIND, "auto")


def test_the_figures_of_a_goal_halfway() -> None:
    progress = at(GOAL, 50, 400)
    assert (progress.current, progress.expected, progress.projected) == (Decimal(400), Decimal(500), Decimal(800))
    assert progress.projected_at == START + 125 * DAY
    assert progress.progress == Decimal("0.4")


def test_a_goal_that_gains_nothing_never_reaches_its_target() -> None:
    progress = at(GOAL, 50, 0)
    assert (progress.projected, progress.projected_at) == (Decimal(0), None)


def test_a_reached_target_is_not_projected_again() -> None:
    progress = at(GOAL, 50, 1200)
    assert (progress.projected_at, progress.progress) == (None, Decimal("1.2"))


def test_a_baseline_is_where_the_way_begins() -> None:
    goal = replace(GOAL, start_value=Decimal(500))
    progress = at(goal, 50, 225)
    assert (progress.current, progress.expected, progress.progress) == (Decimal(725), Decimal(750), Decimal("0.45"))
    assert progress.status is Status.ON_TRACK
    assert at(goal, 50, 224).status is Status.AT_RISK
    assert at(goal, 50, 500).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("day", "count", "status"),
    [
        (50, 0, Status.ON_TRACK),
        (50, 500, Status.ON_TRACK),
        (50, 555, Status.ON_TRACK),
        (50, 556, Status.AT_RISK),
        (50, 666, Status.AT_RISK),
        (50, 667, Status.BEHIND),
        (99, 1000, Status.ON_TRACK),
        (99, 1001, Status.BEHIND),
        (1, 900, Status.ON_TRACK),
        (1, 1001, Status.BEHIND),
        (200, 1000, Status.COMPLETED),
        (200, 1001, Status.BEHIND),
    ],
)
def test_a_budget_is_kept_until_the_time_is_over(day: float, count: int, status: Status) -> None:
    assert at(BUDGET, day, count).status is status


def test_a_lagging_pipeline_does_not_make_a_budget_tighter() -> None:
    assert at(BUDGET, 80, 800, fresh=10).status is Status.ON_TRACK
    assert at(BUDGET, 200, 900, fresh=10).status is Status.ON_TRACK


@pytest.mark.parametrize(
    ("gained", "status"),
    [(-450, Status.ON_TRACK), (-449, Status.AT_RISK), (-374, Status.BEHIND), (-1000, Status.COMPLETED)],
)
def test_a_descent_from_a_baseline_is_judged_like_an_ascent(gained: int, status: Status) -> None:
    progress = at(DESCENT, 50, value=Decimal(gained))
    assert (progress.status, progress.current) == (status, Decimal(1000 + gained))


def test_a_goal_that_fell_below_a_target_it_started_above_is_behind() -> None:
    goal = replace(GOAL, aggregation=Aggregation.SUM, start_value=Decimal(100), target=Decimal(80))
    assert at(goal, 50, value=Decimal(-50)).status is Status.BEHIND


@pytest.mark.parametrize(
    ("count", "visits", "current", "status"),
    [
        (90, 1000, "9", Status.ON_TRACK),
        (89, 1000, "8.9", Status.AT_RISK),
        (75, 1000, "7.5", Status.AT_RISK),
        (74, 1000, "7.4", Status.BEHIND),
        (100, 1000, "10", Status.COMPLETED),
        (1, 3, "33.333333", Status.COMPLETED),
        (0, 0, "0", Status.BEHIND),
        (0, -1, "0", Status.BEHIND),  # a visit was taken back that came before the goal
        (1, -1, "-100", Status.BEHIND),
    ],
)
def test_a_rate_is_measured_against_its_target_at_any_time(
    count: int, visits: int, current: str, status: Status
) -> None:
    progress = at(RATE, 50, count, denominator=visits)
    assert (progress.current, progress.status, progress.expected) == (Decimal(current), status, Decimal(10))


def test_a_rate_that_must_stay_low_is_kept_or_not() -> None:
    goal = replace(RATE, direction=Direction.AT_MOST)
    assert at(goal, 50, 100, denominator=1000).status is Status.ON_TRACK
    assert at(goal, 50, 101, denominator=1000).status is Status.BEHIND
    assert at(goal, 50, 0).status is Status.ON_TRACK
    assert at(goal, 200, 100, denominator=1000).status is Status.COMPLETED


def test_a_period_is_measured_from_its_own_start() -> None:
    goal = replace(GOAL, period=Period.WEEK)  # the first of September 2026 is a Tuesday
    now = START + 9 * DAY + DAY // 2
    assert shown_span(goal, now) == (START + 6 * DAY, START + 13 * DAY - 1)
    assert shown_period(goal, now) == f"@{START + 6 * DAY}"
    assert measure(goal, Counts(count=450), now, now).expected == 500


def test_the_first_and_the_last_period_are_cut_at_start_and_deadline() -> None:
    goal = replace(GOAL, period=Period.WEEK)
    assert shown_span(goal, START) == (START, START + 6 * DAY - 1)
    assert shown_span(goal, START - DAY) == (START, START + 6 * DAY - 1)
    assert shown_span(goal, END + 30 * DAY) == (START + 97 * DAY, END)


def test_a_new_period_begins_unjudged_though_the_watermark_is_in_the_last_one() -> None:
    goal = replace(GOAL, period=Period.DAY)
    midnight = START + 10 * DAY
    progress = measure(goal, Counts(), midnight + DAY // 2, midnight - 1)
    assert (progress.status, progress.expected, progress.starts_at) == (Status.ON_TRACK, Decimal(0), midnight)


def test_counts_are_read_from_the_goals_fields() -> None:
    found = {"n": 5, "v": 12, "u": 500_000, "d": 9, "last": 77, "n@100": 2, "v@100": -1, "u@100": 250_000}
    assert read_counts(found) == Counts(5, Decimal("12.5"), 9, 77)
    assert read_counts(found, "@100") == Counts(2, Decimal("-0.75"), 0, 77)
    assert read_counts({}) == Counts()


@pytest.mark.parametrize(
    ("value", "shown"), [("5", "5"), ("5.0", "5"), ("5.5", "5.5"), ("-0", "0"), ("1E+3", "1000"), ("0.1", "0.1")]
)
def test_a_whole_number_is_shown_without_decimals(value: str, shown: str) -> None:
    assert repr(number(Decimal(value))) == shown


def test_the_thresholds_are_the_callers() -> None:
    strict = Thresholds(on_track=Decimal(1), at_risk=Decimal("0.99"), grace=Decimal(0))
    now = START + 50 * DAY
    assert measure(GOAL, Counts(count=500), now, now, strict).status is Status.ON_TRACK
    assert measure(GOAL, Counts(count=499), now, now, strict).status is Status.AT_RISK
    assert measure(GOAL, Counts(count=494), now, now, strict).status is Status.BEHIND


def test_a_goal_of_one_moment_can_be_measured() -> None:
    goal = replace(GOAL, ends_at=START)
    assert measure(goal, Counts(), START, START).status is Status.ON_TRACK
    assert measure(goal, Counts(), START + 1, START + 1).status is Status.BEHIND


SEVERITY = list(Status)
counts = st.integers(0, 1500)
days = st.integers(-10, 150)


@given(counts, days, days, st.sampled_from([GOAL, BUDGET, replace(GOAL, period=Period.MONTH)]))
def test_lag_never_makes_a_goal_look_worse(count: int, day: int, lag: int, goal: Goal) -> None:
    fresh = at(goal, day, count)
    lagging = at(goal, day, count, fresh=min(day, lag))
    if goal is BUDGET and fresh.status is Status.COMPLETED:  # not over before all is counted
        return
    assert SEVERITY.index(lagging.status) <= SEVERITY.index(fresh.status)


@given(counts, days)
def test_one_conversion_more_never_makes_a_goal_worse(count: int, day: int) -> None:
    assert SEVERITY.index(at(GOAL, day, count + 1).status) <= SEVERITY.index(at(GOAL, day, count).status)


@given(counts, st.integers(6, 99))
def test_status_agrees_with_its_definition(count: int, day: int) -> None:
    ratio = Fraction(count, 10 * day)
    expected = (
        Status.COMPLETED
        if count >= 1000
        else Status.ON_TRACK
        if ratio >= Fraction("0.9")
        else Status.AT_RISK
        if ratio >= Fraction("0.75")
        else Status.BEHIND
    )
    assert at(GOAL, day, count).status is expected


@given(
    st.sampled_from([GOAL, BUDGET, DESCENT, RATE]),
    st.sampled_from([None, *Period]),
    st.integers(-10, 120 * 24),
    st.none() | st.integers(-10, 130 * 24),
    st.integers(0, 10**12),
)
def test_nothing_of_the_time_moves_before_the_moment_until_which_it_holds(
    goal: Goal, period: Period | None, hour: int, fresh: int | None, later: int
) -> None:
    goal, now = replace(goal, period=period), START + hour * 3_600_000
    fresh_as_of = None if fresh is None else START + fresh * 3_600_000
    until = holds_until(goal, now, fresh_as_of)
    then = max(now, min(now + later, until - 1))
    assert instant_of(goal, then, fresh_as_of) == instant_of(goal, now, fresh_as_of)
    if goal.period is not None:
        assert shown_period(goal, then) == shown_period(goal, now)


def test_all_but_budgets_hold_until_their_period_is_over() -> None:
    now = START + DAY
    assert holds_until(GOAL, now, now) == holds_until(DESCENT, now, now) == FOREVER
    assert holds_until(replace(GOAL, period=Period.DAY), now, now) == now + DAY
    assert holds_until(BUDGET, now, now) == now
