"""Sends events for the HTTP layer: answers when the brokers have them, or says quickly that they cannot be reached."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from app.errors import StoreUnavailable, Unconfirmed
from app.streams.producing import LateProducer

Message: TypeAlias = tuple[bytes | None, bytes, list[tuple[str, bytes]]]
"""(key, value, headers)"""

_MAX_BYTES = 4 * 1024 * 1024
_choose = DefaultPartitioner()


class EventSender:
    """One producer a process, connected when it is first needed. Raises StoreUnavailable within `timeout_seconds`:
    nothing was sent; or Unconfirmed: it is not known which partitions have their messages.

    Of what is published together, the messages of a partition are one record batch, which its broker stores whole or
    not at all.
    """

    def __init__(
        self, bootstrap: str, topic: str, security: Mapping[str, Any] | None = None, *, timeout_seconds: float = 1.8
    ) -> None:
        options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "acks": "all",
            "linger_ms": 2,
            # Below the time that publishing may take: a batch is given up before its sender is told so.
            "request_timeout_ms": int(timeout_seconds * 800),
            "max_batch_size": _MAX_BYTES,
            "max_request_size": _MAX_BYTES,
            "client_id": "scorekeeper-api",
            **(security or {}),
        }
        self.topic = topic
        self._timeout_seconds = timeout_seconds
        self._producer = LateProducer(options)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when the brokers have all. Each goes where its key belongs, as every Kafka client would send it, so
        that a correction follows its original; those without a key go together."""
        sending = False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._producer.connected()
                partitions = sorted(await producer.partitions_for(self.topic))
                batches = [
                    (partition, _batch_of(producer, together))
                    for partition, together in _by_partition(messages, partitions).items()
                ]
                sending = True
                sent = (self._send(producer, partition, batch) for partition, batch in batches)
                # All are waited for: one partition's failure does not decide about the others.
                for result in await asyncio.gather(*sent, return_exceptions=True):
                    if result is not None:
                        raise result
        except (KafkaError, OSError, TimeoutError) as error:
            kind = Unconfirmed if sending else StoreUnavailable
            raise kind("kafka", f"{type(error).__name__}: {error}") from error

    async def _send(self, producer: AIOKafkaProducer, partition: int, batch: Any) -> None:
        await (await producer.send_batch(batch, self.topic, partition=partition))

    async def close(self) -> None:
        """Send what is pending, and disconnect."""
        await self._producer.close()


def _by_partition(messages: Sequence[Message], partitions: list[int]) -> dict[int, list[Message]]:
    found: defaultdict[int, list[Message]] = defaultdict(list)
    anywhere = _choose(None, partitions, partitions)
    for message in messages:
        key = message[0]
        found[anywhere if key is None else _choose(key, partitions, partitions)].append(message)
    return found


def _batch_of(producer: AIOKafkaProducer, messages: Sequence[Message]) -> Any:
    batch = producer.create_batch()
    for key, value, headers in messages:
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            raise StoreUnavailable("kafka", "the events are too large for one record batch")
    return batch
