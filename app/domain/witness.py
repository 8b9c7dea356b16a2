"""Whether a log is still the one that was counted: by one batch that it held. Pure.

A leader that has lost its last messages (its machine lost power, or it was elected although it lagged) goes on where
its own log ends, under a new *leader epoch*. Once that log has grown past what was counted, it answers as if nothing
had happened, and what was given the offsets of lost messages would never be counted. But each of Kafka's batches
carries the epoch in which it was written (KIP-101, KIP-320), in ascending order, and no epoch has two leaders. Nothing
of a later epoch than the witness's is counted before a later witness is told: where one of a later epoch lies below
what was counted, the log was cut.

Brokers that were brought back whole from a backup know nothing of the epochs since, and give them again. But then the
witness's batch is not there, and what took its place was written after the start that began its epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

_NEAR: Final = 10
"""So many offsets in a row may have no message (transactions' marks); where more have none, the log tells nothing."""


class Witness(NamedTuple):
    """The log held a batch of `epoch` that began right below `offset`, with a message that it stamped so (epoch ms).

    `line` grows when another log takes its place: what is told of the one before is refused by that.
    """

    epoch: int
    offset: int
    timestamp: int
    line: int = 0


class Found(NamedTuple):
    """A message."""

    offset: int
    epoch: int
    timestamp: int


FirstFrom: TypeAlias = Callable[[int], Found | None]
"""An offset -> the first message there or beyond; None where there is none."""


def is_whole(witness: Witness, counted: int, first_from: FirstFrom) -> bool:
    """Whether the log certainly was not cut: then `find_cut` finds nothing. One look or two, of those it takes, and
    nothing has to be known of where the log begins and ends."""
    own = first_from(witness.offset - 1)
    if own != (witness.offset - 1, witness.epoch, witness.timestamp):
        return False
    last = own if counted <= witness.offset else first_from(counted - 1)
    return last is not None and last.offset < counted and last.epoch == witness.epoch


def find_cut(witness: Witness, counted: int, span: tuple[int, int], first_from: FirstFrom) -> int | None:
    """Where a log from and up to these offsets was cut: what lies there and beyond is not what was counted, or fetched.

    At `counted` or beyond it nothing that was counted is missing, and the witness is none any more. None where the log
    was not cut, or does not tell.
    """
    begin, end = span
    below = min(counted, end)
    in_its_place = _other(witness, begin, first_from)
    if in_its_place is not None:
        return _first_of(in_its_place.epoch, begin, in_its_place.offset, first_from)
    if _is_later_below(below, witness.epoch, begin, first_from) and not _is_same(witness, begin, first_from):
        return _first_of(witness.epoch + 1, begin, below, first_from)
    return below if end < max(counted, witness.offset) else None


def _first_of(epoch: int, low: int, high: int, first_from: FirstFrom) -> int:
    """Where messages of this epoch and later ones begin, `high` at the latest."""
    while low < high:
        middle = (low + high) // 2
        found = first_from(middle)
        if found is None or found.epoch >= epoch:
            high = middle
        else:
            low = found.offset + 1
    return low


def _other(witness: Witness, begin: int, first_from: FirstFrom) -> Found | None:
    """What lies where the witness's message was, or behind it, and was never behind it in the log that held it."""
    found = first_from(max(witness.offset - 1, begin))
    if found is None or found.epoch > witness.epoch:
        return None
    is_there = found.offset == witness.offset - 1
    is_other = found.epoch < witness.epoch or (is_there and found.timestamp != witness.timestamp)
    return found if is_other else None


def last_below(counted: int, begin: int, first_from: FirstFrom) -> Found | None:
    """The last message below `counted`; None where none is near."""
    for offset in range(counted - 1, max(begin, counted - _NEAR) - 1, -1):
        found = first_from(offset)
        if found is None:
            return None
        if found.offset < counted:
            return found
    return None


def _is_later_below(counted: int, epoch: int, begin: int, first_from: FirstFrom) -> bool:
    last = last_below(counted, begin, first_from)
    return last is not None and last.epoch > epoch


def _is_same(witness: Witness, begin: int, first_from: FirstFrom) -> bool:
    """Whether the witness's message is there under a later epoch: of a broker that is not Apache Kafka, and stamps
    whatever it answers with its own."""
    found = first_from(witness.offset - 1) if witness.offset > begin else None
    if found is None or (found.offset, found.timestamp) != (witness.offset - 1, witness.timestamp):
        return False
    return found.epoch > witness.epoch
