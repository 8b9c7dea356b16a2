"""Receipts on their way out: from the store's outbox to the topic, at least once, each with an id to tell repeats by.

Which events are duplicates is known by the store alone, so it writes a receipt into its outbox in the same atomic step
as the conversion. Here the outbox is sent, and only then emptied, entry by entry: whoever dies in between, the next one
sends again what is left, and two that send at once lose nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from app.domain.increments import Position, Receipt
from app.hooks import Hook, no_hook
from app.ports import LeftReceipt

SENT_AT_ONCE = 1_000
FOREIGN_RECEIPTS_MS = 30_000
"""After this it is not another worker's business any more: partitions and topics come and go."""


class Outbox(Protocol):
    """The store's side. Coroutines that may be repeated; raise StoreUnavailable."""

    async def left_receipts(self, position: str, limit: int) -> Sequence[LeftReceipt]:
        """The oldest that are not forgotten, at most `limit` of each stripe."""
        ...

    async def forget_receipts(self, position: str, receipts: Sequence[LeftReceipt]) -> None: ...


class LeftOutbox(Outbox, Protocol):
    """One that is looked through for what its workers left."""

    async def positions_with_receipts(self) -> Collection[str]:
        """The names of all positions that ever had some."""
        ...

    async def oldest_age_ms(self, position: str) -> int:
        """How long the oldest has been waiting; 0 where none is."""
        ...


class ReceiptTopic(Protocol):
    async def send(self, receipts: Sequence[Receipt]) -> None:
        """Returns when all are written for good; may be repeated. Raises StoreUnavailable."""
        ...


class ReceiptSender:
    """Sends what outboxes hold, one position at a time."""

    def __init__(self, topic: ReceiptTopic, hook: Hook = no_hook) -> None:
        self._topic = topic
        self._hook = hook
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def send(self, outbox: Outbox, position: Position | str) -> int:
        """Send and forget all that the outbox holds of the position; returns how many. Raises StoreUnavailable, and
        may be repeated then: what was sent before is forgotten."""
        name = position.name if isinstance(position, Position) else position
        sent = 0
        async with self._locks[name]:
            while left := await outbox.left_receipts(name, SENT_AT_ONCE):
                self._hook("receipts")
                await self._topic.send([one.receipt for one in left])
                self._hook("receipts_sent")
                await outbox.forget_receipts(name, left)
                sent += len(left)
                if len(left) < SENT_AT_ONCE:
                    break
        return sent

    async def send_left(self, outboxes: Iterable[LeftOutbox], own: Collection[str]) -> None:
        """Send what a worker that died left of our `own` positions, by name, and what nobody else seems to send. Raises
        StoreUnavailable, and may be repeated then."""
        for outbox in outboxes:
            for name in await outbox.positions_with_receipts():
                if name in own or await outbox.oldest_age_ms(name) > FOREIGN_RECEIPTS_MS:
                    await self.send(outbox, name)
