"""A log that was cut and has grown again is known by one batch of what was counted."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.witness import FirstFrom, Witness, find_cut

Log = list[tuple[int, int]]
"""Offset and epoch of each message."""


def first_from(log: Log) -> FirstFrom:
    def look(offset: int) -> tuple[int, int] | None:
        at = bisect_left(log, (offset, -1))
        return log[at] if at < len(log) else None

    return look


def written(lengths: list[int], begin: int = 0) -> Log:
    """One epoch after the other, without holes."""
    epochs = [epoch for epoch, length in enumerate(lengths) for _ in range(length)]
    return list(enumerate(epochs, begin))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 50), st.data())
def test_a_log_that_was_cut_is_told_from_one_that_was_not(lengths: list[int], begin: int, data: st.DataObject) -> None:
    log = written([*lengths, 1], begin)
    counted = data.draw(st.sampled_from(log))
    witness = Witness(counted[1], counted[0] + 1)
    left = data.draw(st.integers(0, len(log)))
    epoch = len(lengths) + 1
    new = [(offset, epoch) for offset in range(begin + left, begin + left + data.draw(st.integers(0, 100)))]
    cut = begin + left if begin + left < witness.offset <= begin + left + len(new) else None
    assert find_cut(witness, begin, first_from(log)) is None
    assert find_cut(witness, begin, first_from(log[:left] + new)) == cut


def test_offsets_without_a_message_are_looked_past() -> None:
    # Transactions' marks lie at 8 and 9.
    log = [*written([8]), *((offset, 3) for offset in range(10, 20))]
    assert find_cut(Witness(0, 10), 0, first_from(log)) is None
    cut = [*written([5]), (5, 3), (6, 3), (7, 3), *((offset, 3) for offset in range(10, 20))]
    assert find_cut(Witness(0, 10), 0, first_from(cut)) == 5


@pytest.mark.parametrize("log", [[], [(500, 3), (501, 3)], [(0, 0), (500, 3)]], ids=["empty", "begins later", "holes"])
def test_a_log_that_does_not_hold_what_lay_there_says_nothing(log: Log) -> None:
    assert find_cut(Witness(0, 100), log[0][0] if log else 100, first_from(log)) is None
