"""Whether a log is still the one that was counted: by one batch that it held. Pure.

A leader that has lost its last messages (its machine lost power, or it was elected although it lagged) goes on where
its own log ends, under a new *leader epoch*. Once that log has grown past what was counted, it answers as if nothing
had happened, and what was given the offsets of lost messages would never be counted. But each of Kafka's batches
carries the epoch in which it was written (KIP-101, KIP-320), in ascending order, and no epoch has two leaders. Nothing
of a later epoch than the witness's is counted before a later witness is told: where one of a later epoch lies below
what was counted, the log was cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

_NEAR: Final = 10
"""So many offsets in a row may have no message (transactions' marks); where more have none, the log tells nothing."""


class Witness(NamedTuple):
    """The log held a batch of `epoch` that began right below `offset`, with a message that it stamped so (epoch ms)."""

    epoch: int
    offset: int
    timestamp: int


class Found(NamedTuple):
    """A message."""

    offset: int
    epoch: int
    timestamp: int


FirstFrom: TypeAlias = Callable[[int], Found | None]
"""An offset -> the first message there or beyond; None where there is none."""


def find_cut(witness: Witness, counted: int, begin: int, first_from: FirstFrom) -> int | None:
    """Where a log that begins at `begin` was cut below `counted`: what lies there and beyond is of a later epoch than
    anything that was counted. None where it was not, or does not tell."""
    if not _is_later_below(counted, witness.epoch, begin, first_from) or _is_same(witness, begin, first_from):
        return None
    low, high = begin, counted
    while low < high:
        middle = (low + high) // 2
        found = first_from(middle)
        if found is None or found.epoch > witness.epoch:
            high = middle
        else:
            low = found.offset + 1
    return low


def _is_later_below(counted: int, epoch: int, begin: int, first_from: FirstFrom) -> bool:
    """Whether the last message below `counted` is of a later epoch."""
    for offset in range(counted - 1, max(begin, counted - _NEAR) - 1, -1):
        found = first_from(offset)
        if found is None:
            return False
        if found.offset < counted:
            return found.epoch > epoch
    return False


def _is_same(witness: Witness, begin: int, first_from: FirstFrom) -> bool:
    """Whether the witness's message is there under a later epoch: of a broker that is not Apache Kafka, and stamps
    whatever it answers with its own."""
    found = first_from(witness.offset - 1) if witness.offset > begin else None
    if found is None or (found.offset, found.timestamp) != (witness.offset - 1, witness.timestamp):
        return False
    return found.epoch > witness.epoch
