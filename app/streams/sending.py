"""Sends events for the HTTP layer: answers when the brokers have them, or says quickly that they cannot be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.errors import StoreUnavailable


class EventSender:
    """One producer a process, connected when it is first needed. Raises StoreUnavailable within `timeout_seconds`.

    After an error an event may have been sent or not; sending it again is harmless when it has an id.
    """

    def __init__(
        self, bootstrap: str, topic: str, security: Mapping[str, Any] | None = None, *, timeout_seconds: float = 1.8
    ) -> None:
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "acks": "all",
            "linger_ms": 2,
            "request_timeout_ms": int(timeout_seconds * 1000),
            "client_id": "scorekeeper-api",
            **(security or {}),
        }
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def publish(self, messages: Sequence[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]) -> None:
        """(key, value, headers) each; returns when the brokers have all of them."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._connected()
                sent = [
                    await producer.send(self._topic, key=key, value=value, headers=headers)
                    for key, value, headers in messages
                ]
                await asyncio.gather(*sent)
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
