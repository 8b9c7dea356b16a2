"""Reads the log again: one partition from one offset to another, as batches. For rebuild, backfill, verify and preview.

A reader of its own, without a consumer group: live counting never notices it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.domain.increments import Position
from app.errors import StoreUnavailable
from app.streams.runs import read_runs
from app.tracking import Batch

POLL_RECORDS = 4_000
IDLE_POLLS = 3


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
        if start >= end:
            return
        tp = TopicPartition(position.topic, position.partition)
        consumer = AIOKafkaConsumer(**self._options)
        try:
            await consumer.start()
            read_runs(consumer._fetcher)
            consumer.assign([tp])
            consumer.seek(tp, start)
            idle = 0
            while start < end:
                records = (await consumer.getmany(tp, timeout_ms=1_000, max_records=POLL_RECORDS)).get(tp, [])
                if records and records[-1].offset >= end:
                    records = [record for record in records if record.offset < end]
                if not records:
                    reached = await consumer.position(tp)
                    idle += 1
                    if reached >= end or idle >= IDLE_POLLS:
                        yield Batch(position, start, end, ())
                        return
                    continue
                idle = 0
                beyond = min(records[-1].offset + 1, end)
                yield Batch(position, start, beyond, records)
                start = beyond
        except (KafkaError, OSError) as error:
            raise StoreUnavailable("kafka", f"{type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()
