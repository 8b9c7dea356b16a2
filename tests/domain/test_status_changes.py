"""Why a status changed: each cause from the two observations that it lies between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain.status_changes import Cause, Observation, StatusChange, next_change, observe, sentence
from tests.builders import NOW

BEFORE = Observation(
    goal="g",
    at=NOW,
    status="on_track",
    source="auto",
    revision=1,
    period_starts_at=None,
    is_over=False,
    target=500,
    direction="at_least",
    current=100,
    expected=100,
    progress=0.2,
)
LIMIT = {"direction": "at_most", "target": 50}


@pytest.mark.parametrize(
    ("before", "after", "cause", "words"),
    [
        ({}, {"status": "at_risk", "expected": 1125.1419}, Cause.PACE_LOST, "100, where 1,125.1 was expected by now."),
        ({"status": "behind"}, {"status": "on_track"}, Cause.PACE_REGAINED, "100, and 100 was expected by now."),
        ({}, {"status": "completed", "current": 500.5}, Cause.TARGET_REACHED, "The target is reached: 500.50 of 500."),
        ({"status": "completed"}, {"status": "on_track"}, Cause.TAKEN_BACK, "Conversions were taken back: 100 of 500."),
        ({}, {"status": "behind", "is_over": True}, Cause.DEADLINE_PASSED, "The deadline passed at 100 of 500."),
        (
            LIMIT,
            {"status": "behind", "current": 51},
            Cause.LIMIT_PASSED,
            "The limit is passed: 51, and at most 50 was wanted.",
        ),
        (
            LIMIT,
            {"status": "completed", "current": 49, "is_over": True},
            Cause.TARGET_REACHED,
            "The time is over, and the limit was kept: 49 of at most 50.",
        ),
        ({}, {"status": "behind", "source": "manual"}, Cause.OVERRIDDEN, "The status was set by hand."),
        (
            {"source": "manual", "status": "behind"},
            {"source": "auto", "status": "on_track", "revision": 2},
            Cause.OVERRIDE_ENDED,
            "The status set by hand was taken back.",
        ),
        ({}, {"status": "completed", "revision": 2}, Cause.EDITED, "The goal was edited."),
        (
            {"status": "behind", "period_starts_at": "monday"},
            {"status": "on_track", "period_starts_at": "next monday"},
            Cause.PERIOD_BEGAN,
            "A new period began.",
        ),
    ],
)
def test_a_change_names_its_cause_and_says_it_with_figures(
    before: dict[str, Any], after: dict[str, Any], cause: Cause, words: str
) -> None:
    first = next_change(None, replace(BEFORE, **before))
    assert first is not None
    assert next_change(first, first.seen) is None, "nothing changed yet"
    found = next_change(first, replace(first.seen, **after))
    assert found is not None
    assert (found.number, found.before, found.cause) == (2, first.seen.status, cause)
    assert sentence(found) == words


def test_a_rate_is_told_with_two_decimals() -> None:
    found = next_change(StatusChange(1, None, Cause.NONE, BEFORE), replace(BEFORE, status="at_risk", current=100 / 3))
    assert found is not None
    assert sentence(found, is_rate=True) == "33.33, where 100 was expected by now."


def test_a_change_of_pace_long_after_an_edit_is_not_put_down_to_the_edit() -> None:
    first = StatusChange(1, None, Cause.NONE, BEFORE)
    edited = next_change(first, replace(BEFORE, revision=2))
    assert edited is not None
    assert (edited.before, edited.cause) == (None, Cause.NONE)
    later = next_change(edited, replace(BEFORE, revision=2, status="at_risk"))
    assert later is not None
    assert later.cause is Cause.PACE_LOST


def test_a_goal_that_says_no_status_is_not_observed() -> None:
    assert observe({"id": "g", "current": None, "status": None}, NOW) is None
    assert observe({"id": "g", "current": 1, "status": "on_track", "freshAsOf": None}, NOW) is None
