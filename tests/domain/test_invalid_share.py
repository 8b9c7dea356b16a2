"""When it is said that a large share of the events cannot be counted."""

from __future__ import annotations

import pytest

from app.domain.invalid_share import LEAST_EVENTS, WINDOW_SECONDS, InvalidShare


def test_a_share_above_the_limit_is_told_once_a_minute_with_its_reasons() -> None:
    share = InvalidShare(0.1)
    told = [share.add(100.0 + second, 100, {"invalid_json": 15, "too_old": 5}) for second in range(50)]
    assert told[0] == "20% of the last 100 events cannot be counted (invalid_json 15, too_old 5)"
    assert not any(told[1:])
    assert share.add(100.0 + WINDOW_SECONDS, 100, {"invalid_json": 11})


@pytest.mark.parametrize(
    ("received", "rejected", "limit"),
    [(1000, 100, 0.1), (LEAST_EVENTS - 1, LEAST_EVENTS - 1, 0.1), (1000, 0, 0.0), (1000, 1000, 1.0)],
    ids=["at the limit", "too few to say", "none", "never"],
)
def test_nothing_is_told_where_there_is_nothing_to_tell(received: int, rejected: int, limit: float) -> None:
    assert InvalidShare(limit).add(100.0, received, {"invalid_json": rejected}) is None


def test_what_was_sound_before_this_minute_does_not_hide_what_is_not() -> None:
    share = InvalidShare(0.5)
    assert share.add(100.0, 100_000, {}) is None
    assert share.add(100.0 + WINDOW_SECONDS, 100, {"invalid_json": 60})
