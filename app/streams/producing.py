"""A producer that connects when it is first needed, so that its process starts without the brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer


class LateProducer:
    """One, whoever needs it at the same time. `options` are aiokafka's."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def connected(self) -> AIOKafkaProducer:
        """Raises what aiokafka raises when the brokers do not answer; the next call tries anew."""
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
