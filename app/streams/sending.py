"""Sends events for the HTTP layer: answers when the brokers have them, or says quickly that they cannot be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from app.errors import StoreUnavailable

_MAX_BYTES = 4 * 1024 * 1024
_choose = DefaultPartitioner()


class EventSender:
    """One producer a process, connected when it is first needed. Raises StoreUnavailable within `timeout_seconds`.

    What is published together goes to Kafka as one record batch of one partition, which a broker stores whole or not
    at all. When it is not known whether the broker has it, nothing more is tried: it may be there, or nothing of it.
    """

    def __init__(
        self, bootstrap: str, topic: str, security: Mapping[str, Any] | None = None, *, timeout_seconds: float = 1.8
    ) -> None:
        self._options: dict[str, Any] = {
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
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def publish(self, messages: Sequence[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]) -> None:
        """(key, value, headers) each; returns when the brokers have all. The first key chooses the partition."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._connected()
                batch = producer.create_batch()
                for key, value, headers in messages:
                    if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                        raise StoreUnavailable("kafka", "the events are too large for one record batch")
                partitions = sorted(await producer.partitions_for(self._topic))
                chosen = _choose(messages[0][0], partitions, partitions)
                stored = await producer.send_batch(batch, self._topic, partition=chosen)
                await stored
        except (KafkaError, OSError, TimeoutError) as error:
            raise StoreUnavailable("kafka", f"{type(error).__name__}: {error}") from error

    async def _connected(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._options)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def close(self) -> None:
        """Send what is pending, and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None
