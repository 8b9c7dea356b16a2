"""Reads the log again: partitions from one offset to another, as batches. For rebuild, backfill, verify and preview.

A reader of its own, without a consumer group: live counting never notices it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from app.domain.beginning import Span
from app.domain.increments import Position
from app.errors import DeletedMeanwhile, EndsBefore, StoreUnavailable
from app.streams.options import ISOLATION
from app.streams.runs import read_runs
from app.streams.starting import start_whole
from app.tracking import Batch

POLL_RECORDS = 4_000
POLL_SECONDS = 1.0
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
            "isolation_level": ISOLATION,
            "max_partition_fetch_bytes": fetch_bytes,
            "fetch_max_bytes": 4 * fetch_bytes,
            "fetch_max_wait_ms": 200,
            **(security or {}),
        }

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        """Batches that join without a gap from `start` to `end` exactly. Raises StoreUnavailable, DeletedMeanwhile,
        EndsBefore.

        Offsets that hold no record are covered by the batch after them.
        """
        async with aclosing(self.read_spans({position: [(start, end)]})) as batches:
            async for batch in batches:
                yield batch

    async def read_spans(
        self, wanted: Mapping[Position, Sequence[Span]], *, fetch_bytes: int | None = None
    ) -> AsyncGenerator[Batch, None]:
        """As `read`, of several partitions, and of each the spans in their order, with one consumer for all.

        `fetch_bytes` is what is asked of a partition at once, for who wants only a few records; a record that is larger
        comes whole all the same. Raises StoreUnavailable, DeletedMeanwhile, EndsBefore.
        """
        pending = {
            TopicPartition(position.topic, position.partition): _Unread(position, deque(spans))
            for position, given in wanted.items()
            if (spans := [(start, end) for start, end in given if start < end])
        }
        if not pending:
            return
        narrowed = {} if fetch_bytes is None else {"max_partition_fetch_bytes": fetch_bytes}
        consumer = AIOKafkaConsumer(**{**self._options, **narrowed})
        try:
            await start_whole(consumer)
            read_runs(consumer._fetcher)
            consumer.assign(list(pending))
            for tp, unread in pending.items():
                consumer.seek(tp, unread.start)
            while pending:
                try:
                    found = await _next_records(consumer, {tp: unread.end for tp, unread in pending.items()})
                except OffsetOutOfRangeError as error:
                    raise await _what_is_gone(consumer, pending, error) from error
                for tp, records in found.items():
                    unread = pending[tp]
                    end = consumer.last_stable_offset(tp)
                    # What is not there may come; nothing may be passed over until then.
                    if not records and end is not None and end < unread.end:
                        raise EndsBefore(f"{tp.topic}/{tp.partition}", unread.start, end)
                    yield unread.take(records)
                    if not unread.spans:
                        del pending[tp]
                        consumer.pause(tp)
                    elif not unread.is_begun:
                        consumer.seek(tp, unread.start)
        except (KafkaError, OSError) as error:
            raise StoreUnavailable("kafka", f"{type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()


@dataclass(slots=True)
class _Unread:
    """What is still to be read of one partition; `spans` is not empty while there is any."""

    position: Position
    spans: deque[Span]
    is_begun: bool = False
    """Whether the first of the spans is the rest of one."""

    @property
    def start(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[0][1]

    def take(self, records: Sequence[Any]) -> Batch:
        """The batch that `records` are, those of the first span that come next; none of them: it holds no more."""
        start, end = self.spans.popleft()
        beyond = min(records[-1].offset + 1, end) if records else end
        self.is_begun = beyond < end
        if self.is_begun:
            self.spans.appendleft((beyond, end))
        return Batch(self.position, start, beyond, records)


async def _what_is_gone(consumer: Any, pending: Mapping[Any, _Unread], error: Exception) -> Exception:
    """For the first of the partitions whose log begins beyond what is to be read next, or ends before it; `error` where
    there is none by now."""
    begins, ends = await consumer.beginning_offsets(list(pending)), await consumer.end_offsets(list(pending))
    for tp, unread in pending.items():
        name = f"{tp.topic}/{tp.partition}"
        if begins[tp] > unread.start:
            return DeletedMeanwhile(name, unread.start, begins[tp])
        if ends[tp] < unread.start:
            return EndsBefore(name, unread.start, ends[tp])
    return error


async def _next_records(consumer: Any, ends: Mapping[Any, int]) -> Mapping[Any, list[Any]]:
    """The next records below their end, of at least one of the partitions; none of one whose log, as the broker says,
    holds none up to there.

    That nothing came says nothing: while brokers are away, aiokafka asks again without a word. Raises StoreUnavailable.
    """
    empty = silent = 0
    while empty < EMPTY_POLLS:
        heard_at = {tp: consumer.last_poll_timestamp(tp) for tp in ends}
        reached = await _reached(consumer, ends)
        # Of all partitions: what was read ahead of one that is done with would hold up the others.
        polled = await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=POLL_RECORDS)
        found = {tp: _below(end, polled[tp]) for tp, end in ends.items() if tp in polled}
        now_reached = await _reached(consumer, ends)
        found |= {tp: [] for tp, end in ends.items() if tp not in found and now_reached[tp] >= end}
        if found:
            return found
        if polled or now_reached != reached:
            # Of those that are done with alone, and while that lies there the others are not asked for; or on the way
            # through what was aborted.
            continue
        if all(consumer.last_poll_timestamp(tp) != before for tp, before in heard_at.items()):
            empty, silent = empty + 1, 0
            continue
        silent += 1
        if silent >= SILENT_POLLS:
            names = ", ".join(f"{tp.topic}/{tp.partition}" for tp in ends)
            raise StoreUnavailable("kafka", f"{names} was not answered for {silent} polls in a row")
    return {tp: [] for tp in ends}


async def _reached(consumer: Any, tps: Iterable[Any]) -> Mapping[Any, int]:
    return {tp: await consumer.position(tp) for tp in tps}


def _below(end: int, records: list[Any]) -> list[Any]:
    return records if records[-1].offset < end else [record for record in records if record.offset < end]
