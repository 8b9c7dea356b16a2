"""A log that was cut and has grown again is known by one batch of what was counted."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.witness import FirstFrom, Found, Witness, find_cut, is_whole

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


def span_of(log: Log) -> tuple[int, int]:
    return log[0].offset, log[-1].offset + 1


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
    cut = begin + left if begin + left < reached else None
    assert find_cut(witness, reached, span_of(log), first_from(log)) is None
    assert is_whole(witness, reached, first_from(log))
    found = find_cut(witness, reached, (begin, begin + left + len(new)), first_from(log[:left] + new))
    assert not is_whole(witness, reached, first_from(log[:left] + new)) or found is None
    assert (None if found is None or found >= reached else found) == cut


def test_offsets_without_a_message_are_looked_past() -> None:
    # Transactions' marks lie at 8 and 9.
    log = [*written([8]), *of(3, *range(10, 20))]
    assert find_cut(Witness(0, 10, 9), 10, (0, 20), first_from(log)) is None
    cut = [*written([5]), *of(3, 5, 6, 7, *range(10, 20))]
    assert find_cut(Witness(0, 10, 9), 10, (0, 20), first_from(cut)) == 5


@pytest.mark.parametrize("log", [[], of(3, 500, 501), [*of(0, 0), *of(3, 500)]], ids=["empty", "begins later", "holes"])
def test_a_log_that_does_not_hold_what_lay_there_says_nothing(log: Log) -> None:
    assert find_cut(Witness(0, 100, 99), 100, (log[0].offset if log else 100, 502), first_from(log)) is None


def test_the_same_message_is_no_cut_whatever_epoch_it_is_answered_with() -> None:
    log = written([10])
    answered = [one._replace(epoch=7) for one in log]
    assert find_cut(Witness(0, 10, log[9].timestamp), 10, (0, 10), first_from(answered)) is None
    assert find_cut(Witness(0, 10, log[9].timestamp - 1), 10, (0, 10), first_from(answered)) == 0


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 100), st.data())
def test_brokers_that_were_brought_back_are_known_although_their_epochs_are_not_later(
    lengths: list[int], lost: int, more: int, data: st.DataObject
) -> None:
    saved = written(lengths)
    left, last = len(saved), len(lengths) - 1
    # They start again, in the log that was counted and then in the one that was saved: once in that.
    log = [*saved, *written([0] * (last + 1 + data.draw(st.integers(0, 2))) + [lost + 1], left)]
    counted = log[-1]
    back = [one._replace(timestamp=one.timestamp + 7) for one in of(last + 1, *range(left, left + more))]
    end = left + more
    told = Witness(counted.epoch, counted.offset + 1, counted.timestamp)
    assert find_cut(told, counted.offset + 1, span_of(log), first_from(log)) is None
    found = find_cut(told, counted.offset + 1, (0, end), first_from(saved + back))
    assert found == (left if end >= told.offset else end)
    assert not is_whole(told, counted.offset + 1, first_from(saved + back))


def test_of_what_was_fetched_and_not_counted_nothing_is_missing() -> None:
    log, other = written([10, 10]), [*written([10]), *of(1, *range(10, 20))]
    other = [*log[:10], *(one._replace(timestamp=one.timestamp + 7) for one in other[10:])]
    assert find_cut(Witness(1, 20, log[19].timestamp), 5, (0, 20), first_from(other)) == 10
    assert find_cut(Witness(1, 20, log[19].timestamp), 5, (0, 12), first_from(other[:12])) == 5
    assert find_cut(Witness(1, 20, log[19].timestamp), 5, (0, 20), first_from(log)) is None
