"""Whether a log is still the one that was counted: by one batch that it held. Pure.

A leader that has lost its last messages (its machine lost power, or it was elected although it lagged) goes on where
its own log ends, under a new *leader epoch*. Once that log has grown past what was counted, it answers as if nothing
had happened, and what was given the offsets of lost messages would never be counted. But each of Kafka's batches
carries the epoch in which it was written (KIP-101, KIP-320), in ascending order, and no epoch has two leaders: where a
batch of a known epoch began, and now one of a later epoch lies, the log was cut.
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


def find_cut(witness: Witness, begin: int, first_from: FirstFrom) -> int | None:
    """Where a log that begins at `begin` was cut below `witness`: what lies there and beyond is of a later epoch. None
    where it was not, or does not tell."""
    if not _is_later_below(witness, begin, first_from):
        return None
    low, high = begin, witness.offset
    while low < high:
        middle = (low + high) // 2
        found = first_from(middle)
        if found is None or found.epoch > witness.epoch:
            high = middle
        else:
            low = found.offset + 1
    return low


def _is_later_below(witness: Witness, begin: int, first_from: FirstFrom) -> bool:
    """Whether the last message below the witness is of a later epoch. It may be the same message all the same: of a
    broker that is not Apache Kafka, and stamps whatever it answers with its own epoch."""
    same = (witness.offset - 1, witness.timestamp)
    for offset in range(witness.offset - 1, max(begin, witness.offset - _NEAR) - 1, -1):
        found = first_from(offset)
        if found is None:
            return False
        if found.offset < witness.offset:
            return found.epoch > witness.epoch and (found.offset, found.timestamp) != same
    return False
