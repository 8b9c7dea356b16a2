"""What readers see of goals: the periods that lie behind one, whatever became of its time since they were counted."""

from __future__ import annotations

from datetime import datetime

import pytest

from app.domain import fields
from app.domain.goal_definition import compile_goal
from app.goal_items import past_periods


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


COUNTED = {
    f"n{fields.period_suffix(ms(f'2026-{month:02}-01T00:00+01:00'))}": number
    for month, number in ((1, 10), (2, 20), (3, 30))
}
JANUARY = ("2025-12-31T23:00:00.000Z", "2026-01-31T22:59:59.999Z", 10, 0.25)
FEBRUARY = ("2026-01-31T23:00:00.000Z", "2026-02-28T22:59:59.999Z", 20, 0.5)
MARCH = ("2026-02-28T23:00:00.000Z", "2026-03-31T21:59:59.999Z", 30, 0.75)


def shown(counters: dict[str, int], **more: object) -> list[tuple[object, ...]]:
    body = {"metric": "m", "target": 40, "deadline": "2026-12-31", "startsAt": "2026-01-01", "period": "month", **more}
    goal = compile_goal(body, ident="g", project="p", time_zone="Europe/Berlin", created_at=ms("2026-01-01T00:00Z"))
    return [tuple(period.values()) for period in past_periods(counters, goal)]


@pytest.mark.parametrize(
    "moved",
    [{}, {"startsAt": "2026-03-01"}, {"startsAt": "2026-06-15"}, {"deadline": "2026-01-31"}],
)
def test_a_period_has_its_own_name_and_figures_wherever_the_goals_time_is_moved(moved: dict[str, object]) -> None:
    assert shown(COUNTED, **moved) == [JANUARY, FEBRUARY, MARCH]


def test_the_first_and_the_last_period_are_cut_at_start_and_deadline() -> None:
    cut = shown(COUNTED, startsAt="2026-02-10T00:00:00Z", deadline="2026-03-10T00:00:00Z")
    assert cut == [
        JANUARY,
        ("2026-02-10T00:00:00.000Z", *FEBRUARY[1:]),
        (MARCH[0], "2026-03-10T00:00:00.000Z", *MARCH[2:]),
    ]


def test_periods_of_another_kind_that_the_goal_had_before_are_left_out() -> None:
    day = f"n{fields.period_suffix(ms('2026-02-05T00:00+01:00'))}"
    assert shown({**COUNTED, day: 7}) == [JANUARY, FEBRUARY, MARCH]
