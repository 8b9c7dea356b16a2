"""The topic of receipts: one message for each conversion. Its key is the receipt's id, so that repeats come to one
partition, one after the other, and a compacted topic keeps one of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.domain.increments import Receipt
from app.streams.sending import EventSender

SEND_SECONDS: Final = 30.0


class KafkaReceipts:
    """Implements ReceiptTopic; connects with the first receipt, so that a worker starts without the brokers."""

    def __init__(self, bootstrap: str, topic: str, security: Mapping[str, Any] | None = None) -> None:
        self._sender = EventSender(bootstrap, topic, security, timeout_seconds=SEND_SECONDS)

    async def send(self, receipts: Sequence[Receipt]) -> None:
        await self._sender.publish([(one.id.encode(), one.body, []) for one in receipts])

    async def close(self) -> None:
        await self._sender.close()
