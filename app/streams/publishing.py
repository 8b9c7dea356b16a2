"""Writing messages to a topic: all of them acknowledged by the brokers, those of one key in their order.

Messages are packed into batches here and not by the client: a call per batch and partition instead of one per message
is what makes a large file a matter of seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.partitioner import murmur2

from app.errors import StoreUnavailable
from app.streams.starting import start_whole

T = TypeVar("T")

BATCH_BYTES = 256 * 1024
MAX_PENDING = 64


@dataclass(frozen=True, slots=True)
class Message:
    """What is written. `tag` is the caller's, to tell which one was refused."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    tag: int = 0


@dataclass(slots=True)
class _Open:
    """A batch that is being filled."""

    builder: Any
    tags: list[int] = field(default_factory=list)


class Publisher:
    """Writes to one topic. Not thread-safe; raises StoreUnavailable.

    `published` counts the acknowledged messages; `refused` holds the tags of those that are too large for the topic.
    """

    def __init__(self, bootstrap: str, topic: str, security: Mapping[str, Any] | None = None) -> None:
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "acks": "all",
            "max_batch_size": BATCH_BYTES,
            "max_request_size": 1 << 20,
            "client_id": "scorekeeper-publisher",
            **(security or {}),
        }
        self.topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._partitions: list[int] = []
        self._open: dict[int, _Open] = {}
        self._pending: set[asyncio.Task[None]] = set()
        self._partition_of = lru_cache(maxsize=100_000)(self._hashed)
        self.published = 0
        self.refused: list[int] = []

    async def start(self) -> None:
        """Connect. The topic must exist."""
        producer = AIOKafkaProducer(**self._options)
        try:
            await _as_store_errors(lambda: start_whole(producer))
            self._producer = producer
            self._partitions = sorted(await _as_store_errors(lambda: producer.partitions_for(self.topic)))
        except BaseException:
            await producer.stop()
            raise

    async def stop(self) -> None:
        """Close the connections; what was not flushed may be lost."""
        for task in self._pending:
            task.cancel()
        if self._producer is not None:
            await self._producer.stop()

    async def add(self, message: Message) -> None:
        """Take a message; it is written when its batch is full, and at the latest by `flush`."""
        partition = self._choose(message.key)
        batch = self._open.get(partition)
        if batch is None or not self._appended(batch, message):
            if batch is not None:
                await self._send(partition, batch)
            batch = self._open[partition] = _Open(self._connected().create_batch())
            self._appended(batch, message)

    async def flush(self) -> None:
        """Return when the brokers have all messages that were added."""
        for partition, batch in list(self._open.items()):
            await self._send(partition, batch)
        while self._pending:
            await self._settle(asyncio.ALL_COMPLETED)

    def _appended(self, batch: _Open, message: Message) -> bool:
        added = batch.builder.append(
            timestamp=None, key=message.key, value=message.value, headers=list(message.headers)
        )
        if added is None:
            return False
        batch.tags.append(message.tag)
        return True

    async def _send(self, partition: int, batch: _Open) -> None:
        self._open.pop(partition, None)
        while len(self._pending) >= MAX_PENDING:
            await self._settle(asyncio.FIRST_COMPLETED)
        # Handed to the client here, so that the batches of a partition keep their order.
        sent = await _as_store_errors(
            lambda: self._connected().send_batch(batch.builder, self.topic, partition=partition)
        )
        self._pending.add(asyncio.ensure_future(self._confirm(sent, batch.tags)))

    async def _confirm(self, sent: Awaitable[Any], tags: list[int]) -> None:
        try:
            await _as_store_errors(lambda: sent)
        except _TooLargeError:
            if len(tags) == 1:
                self.refused.append(tags[0])
                return
            raise StoreUnavailable("kafka", f"the topic {self.topic} takes no batch of {BATCH_BYTES} bytes") from None
        self.published += len(tags)

    async def _settle(self, until: str) -> None:
        done, self._pending = await asyncio.wait(self._pending, return_when=until)
        # Of each, since asyncio tells an error that nobody asked for as a defect.
        errors = [error for task in done if (error := task.exception()) is not None]
        if errors:
            raise errors[0]

    def _choose(self, key: bytes | None) -> int:
        return random.choice(self._partitions) if key is None else self._partition_of(key)  # noqa: S311  # no secret

    def _hashed(self, key: bytes) -> int:
        # As every Kafka client does it, so that a key's events stay in one partition whoever writes them.
        place: int = (murmur2(key) & 0x7FFFFFFF) % len(self._partitions)
        return self._partitions[place]

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise StoreUnavailable("kafka", "the publisher is not started")
        return self._producer


class _TooLargeError(Exception):
    """The topic takes no message of that size."""


async def _as_store_errors(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
        raise _TooLargeError from error
    except KafkaError as error:
        # Its text begins with its name.
        raise StoreUnavailable("kafka", str(error)) from error
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable("kafka", f"{type(error).__name__}: {error}") from error
