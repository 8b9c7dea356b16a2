"""The table of goals."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from app.cli.table import GoalTable, amount, bar


def _goal(**fields: Any) -> dict[str, Any]:
    return {
        "projectKey": "shop",
        "id": "goal_1",
        "metric": "sign_ups",
        "target": 200,
        "current": 100,
        "expected": 50,
        "progress": 0.5,
        "status": "on_track",
        "freshAsOf": None,
        **fields,
    }


@pytest.mark.parametrize(
    ("goal", "drawn"),
    [
        (_goal(), "█████│████░░░░░░░░░░"[:5] + "│" + "████" + "░" * 10 + "   50%"),
        (_goal(progress=0, expected=200), "░" * 19 + "│    0%"),
        (_goal(progress=7.5, expected=0), "│" + "█" * 19 + "  100%"),
        (_goal(progress=0.5, expected=None), "█" * 10 + "░" * 10 + "   50%"),
        (_goal(current=None, progress=None, expected=None), "░" * 20 + "    0%"),
    ],
)
def test_the_bar_shows_how_far_it_is_and_where_it_should_be(goal: dict[str, Any], drawn: str) -> None:
    assert bar(goal, 20).plain == drawn


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (141448, "141,448"), (19.9, "19.90"), (2.0, "2"), (1234567.891, "1,234,567.89")],
)
def test_amounts_are_readable(value: float | None, shown: str) -> None:
    assert amount(value) == shown


def test_a_look_has_all_a_person_asks_for() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(GoalTable().render([_goal(description="Sign-ups", unit="people")]))
    text = console.export_text()
    for part in ("Sign-ups", "100", "200 people", "on track", "50%"):
        assert part in text


def test_a_goal_that_is_counted_again_shows_no_zero() -> None:
    (line,) = GoalTable().lines([_goal(current=None, status=None)])
    assert line == "sign_ups: – of 200, rebuilding, –"
