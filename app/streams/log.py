"""Reads the log again: one partition from one offset to another, as batches. For rebuild, backfill, verify and preview.

A reader of its own, without a consumer group: live counting never notices it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.domain.increments import Position
from app.errors import StoreUnavailable
from app.streams.runs import read_runs
from app.tracking import Batch

POLL_RECORDS = 4_000
POLL_SECONDS = 1.0
PICK_BYTES = 64 << 10
"""Fetched at once where only a few records are wanted; a larger one comes whole all the same."""
EMPTY_POLLS = 3
"""After so many in a row to which the broker answered that there is nothing, there is nothing."""
SILENT_POLLS = 30
"""After so many to which it did not answer, it is away."""


class Log:
    """The log behind `bootstrap`. `security` holds aiokafka's connection settings."""

    def __init__(
        self, bootstrap: str, security: Mapping[str, Any] | None = None, *, fetch_bytes: int = 4 << 20
    ) -> None:
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "max_partition_fetch_bytes": fetch_bytes,
            "fetch_max_bytes": 4 * fetch_bytes,
            "fetch_max_wait_ms": 200,
            **(security or {}),
        }

    async def read(self, position: Position, start: int, end: int) -> AsyncIterator[Batch]:
        """Batches that join without a gap from `start` to `end` exactly. Raises StoreUnavailable.

        Offsets that hold no record are covered by the batch after them.
        """
        async for batch in self._read(position, [(start, end)], self._options):
            yield batch

    async def pick(self, position: Position, spans: Sequence[tuple[int, int]]) -> AsyncIterator[Batch]:
        """As `read`, of several short spans (start, end) over one connection, each fetched without much around it."""
        async for batch in self._read(position, spans, {**self._options, "max_partition_fetch_bytes": PICK_BYTES}):
            yield batch

    async def _read(
        self, position: Position, spans: Sequence[tuple[int, int]], options: Mapping[str, Any]
    ) -> AsyncIterator[Batch]:
        spans = [(start, end) for start, end in spans if start < end]
        if not spans:
            return
        tp = TopicPartition(position.topic, position.partition)
        consumer = AIOKafkaConsumer(**options)
        try:
            await consumer.start()
            read_runs(consumer._fetcher)
            consumer.assign([tp])
            for start, end in spans:
                consumer.seek(tp, start)
                while start < end:
                    records = await _next_records(consumer, tp, end)
                    beyond = min(records[-1].offset + 1, end) if records else end
                    yield Batch(position, start, beyond, records)
                    start = beyond
        except (KafkaError, OSError) as error:
            raise StoreUnavailable("kafka", f"{type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()


async def _next_records(consumer: Any, tp: Any, end: int) -> list[Any]:
    """The next records below `end`; none when the broker says that the log holds none up to there.

    That nothing came says nothing: while brokers are away, aiokafka asks again without a word. Raises StoreUnavailable.
    """
    empty = silent = 0
    while empty < EMPTY_POLLS:
        heard_at = consumer.last_poll_timestamp(tp)
        found = await consumer.getmany(tp, timeout_ms=int(POLL_SECONDS * 1000), max_records=POLL_RECORDS)
        records: list[Any] = found.get(tp, [])
        if records:
            return records if records[-1].offset < end else [record for record in records if record.offset < end]
        if await consumer.position(tp) >= end:
            return []
        if consumer.last_poll_timestamp(tp) != heard_at:
            empty, silent = empty + 1, 0
            continue
        silent += 1
        if silent >= SILENT_POLLS:
            raise StoreUnavailable("kafka", f"{tp.topic}/{tp.partition} was not answered for {silent} polls in a row")
    return []
