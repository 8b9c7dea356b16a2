"""The leader epochs of what one driver fetches, see app/domain/witness.py: aiokafka reads past them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.protocol.fetch import FetchRequest

from app.domain.witness import Witness

_HEADER = struct.Struct(">qiib4xh4xqq")
"""Of a record batch: base offset, length of what follows that, leader epoch, magic, attributes, the first timestamp and
the greatest one (Kafka protocol, "Record Batch")."""
_BROKERS_STAMP = 8
"""Of the attributes: the greatest timestamp is that of each message."""
_LENGTH_FOLLOWS = 12
_FIRST_WITH_EPOCHS = 2


class LeaderEpochs(NamedTuple):
    """Of one answer of the brokers for a partition: the epoch of its first batch, and its last batch."""

    first: int
    last: Witness
    doubts: int = 0
    """How often the brokers were lost sight of before: they may have another log since, with epochs given again."""


def epochs_of(batches: bytes) -> LeaderEpochs | None:
    """Of whole batches, and a part of one at the end; None where they do not tell: old formats have no epochs, and
    whether one is broken is for others to say."""
    first, last, at = None, Witness(-1, 0, 0), 0
    while at + _HEADER.size <= len(batches):
        base, length, epoch, magic, attributes, first_stamp, greatest_stamp = _HEADER.unpack_from(batches, at)
        if magic < _FIRST_WITH_EPOCHS or epoch < 0 or length < 0:
            return None
        first = epoch if first is None else first
        last = Witness(epoch, base + 1, greatest_stamp if attributes & _BROKERS_STAMP else first_stamp)
        at += _LENGTH_FOLLOWS + length
    return LeaderEpochs(first, last) if first is not None else None


class EpochWatch:
    """Looks at what one driver's client is answered. Lives in the driver's thread."""

    def __init__(self, client: Any) -> None:
        self._of: dict[tuple[str, int], LeaderEpochs | None] = {}
        self._doubts = 0
        self._send, self._update = client.send, client.force_metadata_update
        client.send, client.force_metadata_update = self._send_and_look, self._doubt_and_update

    def take(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], LeaderEpochs]:
        """Of the last answers that were not taken yet."""
        # Each once: a second look finds nothing any more.
        taken = {each: self._of.pop(each, None) for each in set(partitions)}
        return {each: epochs for each, epochs in taken.items() if epochs is not None}

    async def _send_and_look(self, node_id: int, request: Any, **options: Any) -> Any:
        answer = await self._send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            for topic, partitions in answer.topics:
                for partition, *_, batches in partitions:
                    if batches:
                        # Also where it tells none: those of an answer before it are not its.
                        epochs = epochs_of(batches)
                        self._of[topic, partition] = epochs and epochs._replace(doubts=self._doubts)
        return answer

    def _doubt_and_update(self) -> Any:
        """The driver asks for new metadata when a request was refused, or its connection broke."""
        self._doubts += 1
        return self._update()
