"""A log that was cut and has grown again is known by one batch of what was counted."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.witness import FirstFrom, Found, Witness, find_cut

Log = list[Found]


def first_from(log: Log) -> FirstFrom:
    def look(offset: int) -> Found | None:
        at = bisect_left(log, (offset,))
        return log[at] if at < len(log) else None

    return look


def of(epoch: int, *offsets: int) -> Log:
    """Each leader stamps at times of its own."""
    return [Found(offset, epoch, 1000 * epoch + offset) for offset in offsets]


def written(lengths: list[int], begin: int = 0) -> Log:
    """One epoch after the other, without holes."""
    epochs = [epoch for epoch, length in enumerate(lengths) for _ in range(length)]
    return [one for offset, epoch in enumerate(epochs, begin) for one in of(epoch, offset)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 50), st.data())
def test_a_log_that_was_cut_is_told_from_one_that_was_not(lengths: list[int], begin: int, data: st.DataObject) -> None:
    log = written([*lengths, 1], begin)
    counted = data.draw(st.sampled_from(log))
    witness = Witness(counted.epoch, counted.offset + 1, counted.timestamp)
    left = data.draw(st.integers(0, len(log)))
    epoch = len(lengths) + 1
    new = of(epoch, *range(begin + left, begin + left + data.draw(st.integers(0, 100))))
    # A batch may be counted that is not told yet: it is of the witness's epoch, or another witness would be told.
    more = [one for one in log if one.epoch == counted.epoch and one.offset > counted.offset]
    reached = data.draw(st.sampled_from([counted, *more])).offset + 1
    cut = begin + left if begin + left < reached <= begin + left + len(new) else None
    assert find_cut(witness, reached, begin, first_from(log)) is None
    assert find_cut(witness, reached, begin, first_from(log[:left] + new)) == cut


def test_offsets_without_a_message_are_looked_past() -> None:
    # Transactions' marks lie at 8 and 9.
    log = [*written([8]), *of(3, *range(10, 20))]
    assert find_cut(Witness(0, 10, 9), 10, 0, first_from(log)) is None
    cut = [*written([5]), *of(3, 5, 6, 7, *range(10, 20))]
    assert find_cut(Witness(0, 10, 9), 10, 0, first_from(cut)) == 5


@pytest.mark.parametrize("log", [[], of(3, 500, 501), [*of(0, 0), *of(3, 500)]], ids=["empty", "begins later", "holes"])
def test_a_log_that_does_not_hold_what_lay_there_says_nothing(log: Log) -> None:
    assert find_cut(Witness(0, 100, 99), 100, log[0].offset if log else 100, first_from(log)) is None


def test_the_same_message_is_no_cut_whatever_epoch_it_is_answered_with() -> None:
    log = written([10])
    answered = [one._replace(epoch=7) for one in log]
    assert find_cut(Witness(0, 10, log[9].timestamp), 10, 0, first_from(answered)) is None
    assert find_cut(Witness(0, 10, log[9].timestamp - 1), 10, 0, first_from(answered)) == 0
