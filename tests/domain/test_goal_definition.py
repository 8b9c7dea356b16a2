"""Which goal definitions are valid, what they become, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.conversion_goal import FOREVER
from app.domain.goal import Aggregation, Direction, Goal, PaceKind, Period, Status
from app.domain.goal_definition import FIELDS, compile_goal
from app.domain.moments import rfc3339
from app.domain.pace import HOURS_OF_WEEK, LINEAR, SeasonalPace
from app.domain.progress import Counts, measure
from app.errors import InvalidDefinition
from app.goal_items import progress_fields

LEAST: dict[str, object] = {"metric": "signups", "target": 1000, "deadline": "2026-12-31"}


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


CREATED = ms("2026-06-01T12:00Z")


def compiled(zone: object = "UTC", /, **fields: object) -> Goal:
    body = {**LEAST, **fields}
    return compile_goal(body, ident="g1", project="p", time_zone=str(zone), created_at=CREATED, revision=7)


def test_the_three_required_fields_are_enough() -> None:
    assert compiled() == Goal(
        id="g1",
        project="p",
        metric="signups",
        target=Decimal(1000),
        deadline="2026-12-31",
        starts_at=CREATED,
        ends_at=ms("2027-01-01T00:00Z") - 1,
        created_at=CREATED,
        revision=7,
        effective_until=FOREVER,
    )


def test_every_field_is_compiled() -> None:
    goal = compiled(
        "Europe/Berlin",
        description="two\nlines",
        unit="€",
        aggregation="rate",
        denominatorMetric="visits",
        period="quarter",
        direction="at_most",
        startsAt="2026-04-01",
        backfill=True,
        pace="linear",
        conversionGoalIds=["a", "b", "a"],
        status="at_risk",
    )
    assert (goal.description, goal.unit) == ("two\nlines", "€")
    assert (goal.aggregation, goal.denominator_metric) == (Aggregation.RATE, "visits")
    assert (goal.period, goal.direction) == (Period.QUARTER, Direction.AT_MOST)
    assert goal.starts_at == ms("2026-04-01T00:00+02:00")
    assert (goal.backfill, goal.effective_from) == (True, 0)
    assert goal.conversion_goal_ids == ("a", "b")
    assert goal.status_override is Status.AT_RISK


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in LEAST])
def test_null_stands_for_an_absent_field(name: str) -> None:
    assert compiled(**{name: None}) == compiled()


@pytest.mark.parametrize(
    ("deadline", "zone", "ends_at"),
    [
        ("2026-12-31", "UTC", "2026-12-31T23:59:59.999Z"),
        ("2026-12-31", "Asia/Tokyo", "2026-12-31T23:59:59.999+09:00"),
        ("2026-10-25", "Europe/Berlin", "2026-10-25T23:59:59.999+01:00"),
        ("2027-03-28", "Europe/Berlin", "2027-03-28T23:59:59.999+02:00"),
        ("2028-02-29", "America/New_York", "2028-02-29T23:59:59.999-05:00"),
        ("2026-12-31T18:30:00Z", "Asia/Tokyo", "2026-12-31T18:30:00Z"),
        ("2026-12-31T18:30:00.5+02:00", "UTC", "2026-12-31T16:30:00.500Z"),
        ("2026-06-01", "UTC", "2026-06-01T23:59:59.999Z"),
    ],
)
def test_a_deadline_is_inclusive_to_the_millisecond(deadline: str, zone: str, ends_at: str) -> None:
    goal = compiled(zone, deadline=deadline)
    assert (goal.deadline, goal.ends_at) == (deadline, ms(ends_at))


@pytest.mark.parametrize(
    ("starts_at", "moment"),
    [
        ("2026-03-29", "2026-03-29T00:00+01:00"),
        ("2026-03-29T00:00:00Z", "2026-03-29T00:00Z"),
    ],
)
def test_a_start_that_is_a_date_begins_with_that_day(starts_at: str, moment: str) -> None:
    assert compiled("Europe/Berlin", startsAt=starts_at).starts_at == ms(moment)


@pytest.mark.parametrize(
    ("written", "target"),
    [
        (1, "1"),
        (19.9, "19.9"),
        (0.1, "0.1"),
        (Decimal("0.000001"), "0.000001"),
        (1e15, "1000000000000000"),
        (10**15, "1000000000000000"),
        (99999999.99, "99999999.99"),
    ],
)
def test_a_target_is_the_decimal_that_was_written(written: object, target: str) -> None:
    assert compiled(target=written).target == Decimal(target)


def test_a_limit_of_nothing_is_a_target() -> None:
    assert compiled(target=0, direction="at_most").target == 0


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"metric": None}, "/metric", "missing"),
        ({"metric": ""}, "/metric", "empty"),
        ({"target": None}, "/target", "missing"),
        ({"target": True}, "/target", "a boolean"),
        ({"target": "1000"}, "/target", "a string, not a number. Give it without quotes"),
        ({"target": 0}, "/target", "not positive"),
        ({"target": -1}, "/target", "not positive"),
        ({"target": -1, "direction": "at_most"}, "/target", "not positive"),
        ({"target": float("nan")}, "/target", "too large"),
        ({"target": float("inf")}, "/target", "too large"),
        ({"target": 10**15 + 1}, "/target", "too large"),
        ({"target": 10**5000}, "/target", "too large"),
        ({"target": 0.0000001}, "/target", "six decimals"),
        ({"deadline": None}, "/deadline", "missing"),
        ({"deadline": "2026-02-30"}, "/deadline", "no date that exists"),
        (
            {"deadline": "31.12.2026"},
            "/deadline",
            "'31.12.2026', which is no date that exists. Give a date (2026-12-31)",
        ),
        ({"deadline": "2026-12-31T23:59:59"}, "/deadline", "with its offset"),
        ({"deadline": "9999-12-31"}, "/deadline", "beyond the years 1 to 9999. Give one of the years 2 to 9998."),
        ({"deadline": "9999-12-31T23:59:59-05:00"}, "/deadline", "beyond the years"),
        ({"deadline": "9999-12-31T22:00:00Z", "period": "day"}, "/deadline", "beyond the years"),
        ({"deadline": "9999-12-01T00:00:00Z", "period": "month"}, "/deadline", "beyond the years"),
        ({"deadline": "9999-12-31T22:00:00Z", "pace": "seasonal"}, "/deadline", "beyond the years"),
        ({"deadline": "0000-12-31"}, "/deadline", "no date that exists"),
        ({"startsAt": "0001-01-01T00:00:00+23:59"}, "/startsAt", "beyond the years"),
        ({"deadline": "٢٠٢٦-12-31"}, "/deadline", "no date that exists"),
        ({"deadline": 1798761599000}, "/deadline", "a number, not a string. Put it in quotes."),
        ({"deadline": "2026-05-31"}, "/deadline", "say in startsAt"),
        ({"deadline": "2026-05-31", "startsAt": "2026-06-01"}, "/deadline", "before startsAt"),
        ({"startsAt": "soon"}, "/startsAt", "no date that exists"),
        ({"startValue": "5"}, "/startValue", "a string, not a number"),
        ({"startValue": 5, "period": "day"}, "/startValue", "restarts with each period"),
        ({"startValue": 5, "aggregation": "rate", "denominatorMetric": "v"}, "/startValue", "no baseline"),
        ({"aggregation": "average"}, "/aggregation", "'average'"),
        ({"aggregation": "Sum"}, "/aggregation", "Did you mean 'sum'?"),
        ({"aggregation": "rate"}, "/denominatorMetric", "a rate needs it"),
        ({"denominatorMetric": "visits"}, "/denominatorMetric", "only a rate has one"),
        ({"period": "weekly"}, "/period", "Did you mean 'week'?"),
        ({"direction": "at-most"}, "/direction", "Did you mean 'at_most'?"),
        ({"backfill": "yes"}, "/backfill", "not true or false"),
        ({"pace": "wavy"}, "/pace", "seasonal"),
        ({"aggregation": "rate", "denominatorMetric": "m", "pace": "seasonal"}, "/pace", "a rate is expected"),
        ({"status": "done"}, "/status", "'done'"),
        ({"conversionGoalIds": []}, "/conversionGoalIds", "empty"),
        ({"conversionGoalIds": "a"}, "/conversionGoalIds", "not an array"),
        ({"conversionGoalIds": ["a", ""]}, "/conversionGoalIds/1", "non-empty string"),
        ({"conversionGoalIds": ["a", "\ud83d"]}, "/conversionGoalIds/1", "half of a surrogate pair"),
        ({"conversionGoalIds": [str(i) for i in range(101)]}, "/conversionGoalIds", "101 elements"),
        ({"description": "x" * 2001}, "/description", "2001 characters"),
        ({"unit": "a\tb"}, "/unit", "control characters"),
        ({"dead_line": "2026-12-31"}, "/dead_line", "Did you mean 'deadline'?"),
        ({"starts_at": "2026-12-31"}, "/starts_at", "Did you mean 'startsAt'?"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(fields: dict[str, object], pointer: str, words: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compiled(**fields)
    assert caught.value.field == pointer
    assert words in str(caught.value)
    assert caught.value.remedy
    assert caught.value.others == ()


@pytest.mark.parametrize(
    ("zone", "fields"),
    [
        ("UTC", {"deadline": "9999-12-31T23:59:59.999Z", "startsAt": "0001-01-01"}),
        ("UTC", {"deadline": "9999-11-30", "startsAt": "0001-01-01T00:00:00Z", "period": "month"}),
        ("Asia/Tokyo", {"deadline": "9999-12-31T23:59:59+09:00"}),
        ("America/New_York", {"deadline": "9999-12-30", "startsAt": "0001-01-02", "pace": "seasonal"}),
    ],
)
def test_a_moment_that_can_be_shown_is_taken(zone: str, fields: dict[str, object]) -> None:
    goal = compiled(zone, **fields)
    for moment in (goal.starts_at, goal.ends_at):
        assert ms(str(rfc3339(moment))) == moment


@pytest.mark.parametrize(
    ("zone", "starts_at", "more"),
    [
        ("Asia/Tokyo", "0001-01-01", {}),
        ("America/New_York", "0001-01-01T00:00:00Z", {"period": "week"}),
        ("America/New_York", "0001-01-01T00:00:00Z", {"pace": "seasonal"}),
    ],
)
def test_a_start_before_the_calendar_of_the_time_zone_is_refused(
    zone: str, starts_at: str, more: dict[str, object]
) -> None:
    with pytest.raises(InvalidDefinition, match="beyond the years") as caught:
        compiled(zone, startsAt=starts_at, **more)
    assert [problem.field for problem in caught.value.each] == ["/startsAt"]


def test_a_past_deadline_is_allowed_when_the_start_lies_before_it() -> None:
    assert compiled(deadline="2026-05-31", startsAt="2026-05-01").ends_at < CREATED


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compiled(metric=None, target="x", deadline="x", period="x")
    assert [caught.value.field, *(problem.field for problem in caught.value.others)] == [
        "/deadline",
        "/metric",
        "/target",
        "/period",
    ]


edges = st.builds(
    "{}T{:02}:{:02}:00{}".format,
    st.sampled_from(["0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31"]),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from(["Z", "-12:00", "+14:00"]),
)
SEASONAL = SeasonalPace(tuple(map(Fraction, range(HOURS_OF_WEEK + 1))), "")


@given(
    edges,
    edges,
    st.sampled_from([None, *Period]),
    st.sampled_from(PaceKind),
    st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"]),
)
def test_whatever_is_compiled_can_be_shown(
    starts_at: str, deadline: str, period: Period | None, pace: PaceKind, zone: str
) -> None:
    try:
        goal = compiled(zone, startsAt=starts_at, deadline=deadline, period=period, pace=pace)
    except InvalidDefinition:
        return
    measured_by = replace(SEASONAL, time_zone=zone) if pace is PaceKind.SEASONAL else LINEAR
    shown = progress_fields(goal, measure(goal, Counts(count=1), CREATED, CREATED, pace=measured_by))
    assert shown["startsAt"] <= shown["periodStartsAt"] <= shown["periodEndsAt"] <= shown["endsAt"]


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@given(st.dictionaries(st.sampled_from(FIELDS), values))
def test_any_object_is_compiled_or_refused(body: dict[str, object]) -> None:
    try:
        compile_goal(body, ident="g", project="p", time_zone="Europe/Berlin", created_at=CREATED)
    except InvalidDefinition as problem:
        found = problem.field
    else:
        found = "/"
    assert found.startswith("/")
