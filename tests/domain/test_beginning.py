"""Where a generation begins that does not count all that the log holds."""

from __future__ import annotations

import pytest

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.increments import Position

NAMED, ADDED = Position("events", 0, "t"), Position("events", 1, "t")
BEGINNING = Beginning(5_000, {NAMED.name: 40}, 4_999)


@pytest.mark.parametrize(
    ("held", "counted"),
    [
        ((0, 90), (40, 90)),
        ((40, 90), (40, 90)),
        ((41, 90), (41, 90)),  # some of it was deleted
        ((0, 40), (40, 40)),
        ((0, 30), (30, 30)),  # it was cut there
    ],
)
def test_what_lies_before_does_not_count(held: tuple[int, int], counted: tuple[int, int]) -> None:
    assert BEGINNING.within({NAMED: held}) == {NAMED: counted}


def test_a_position_that_is_not_named_begins_with_the_log() -> None:
    spans = {NAMED: (0, 90), ADDED: (3, 70)}
    assert BEGINNING.within(spans) == {NAMED: (40, 90), ADDED: (3, 70)}
    assert WHOLE_LOG.within(spans) == spans
