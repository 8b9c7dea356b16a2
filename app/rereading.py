"""The log read again: what retention leaves of it, and several partitions in an order that the log alone decides."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Protocol, TypeAlias

from app.domain.beginning import Spans
from app.domain.increments import Position
from app.errors import DeletedMeanwhile, EndsBefore
from app.tracking import Batch

Marks: TypeAlias = Mapping[Position, Sequence[int]]
"""Per position the offset at which each stripe stands."""

NO_MARKS: Marks = {}

AT_ONCE = 4
"""Partitions that are read at once: while one is counted, the broker is asked for the others."""
CHUNK = 8_000
"""Offsets of a partition that are counted before it is another one's turn. Which of two copies counts hangs on it."""
MOST_BYTES = 8 << 20
"""Of a batch's values, about; a chunk that has more comes in several batches."""

LOG_APPEND_TIME = 1
"""Kafka's type of a timestamp that the broker set."""


class LogSource(Protocol):
    """How the log is read again."""

    def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        """Batches from `start` to `end` without a gap. Raises StoreUnavailable, DeletedMeanwhile, EndsBefore."""
        ...


OnHole: TypeAlias = Callable[[Position, int, int], Awaitable[None]]
"""Told from and up to which offset the log holds nothing of a position any more."""


async def _tell_nobody(position: Position, start: int, to: int) -> None:
    del position, start, to


@dataclass(frozen=True, slots=True)
class LogAsLeft:
    """Implements LogSource: where retention overtakes the reading of `inner`, `on_hole` is told, a batch without
    records covers what was deleted, and reading goes on where the log begins then."""

    inner: LogSource
    on_hole: OnHole = _tell_nobody
    """Of who reads what there is, and misses nothing, it needs not be given."""

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        while start < end:
            try:
                async with aclosing(self.inner.read(position, start, end)) as batches:
                    async for batch in batches:
                        yield batch
                        start = batch.next_offset
            except DeletedMeanwhile as deleted:
                first = min(deleted.first, end)
            else:
                return
            await self.on_hole(position, start, first)
            yield Batch(position, start, first, ())
            start = first


async def received_at(log: LogSource, position: Position, offset: int) -> int | None:
    """When the message there was received, by the broker's clock (epoch ms): all that lay before it came by then. None
    where nobody knows: the log holds none there, or producers set the time, of which none says anything of another.

    Raises StoreUnavailable.
    """
    found = None
    with suppress(DeletedMeanwhile, EndsBefore):
        async for batch in log.read(position, offset, offset + 1):
            for record in batch.records:
                found = record.timestamp if record.timestamp_type == LOG_APPEND_TIME else None
    return found


def split(batch: Batch, offsets: Iterable[int]) -> Iterator[Batch]:
    """The same in batches that begin at these offsets, as far as they lie within."""
    within = sorted({offset for offset in offsets if batch.start < offset < batch.next_offset})
    for start, end in pairwise([batch.start, *within, batch.next_offset]):
        first, beyond = (bisect_left(batch.records, offset, key=attrgetter("offset")) for offset in (start, end))
        yield Batch(batch.position, start, end, batch.records[first:beyond])


async def in_chunks(batches: AsyncGenerator[Batch, None], marks: Sequence[int] = ()) -> AsyncGenerator[Batch, None]:
    """The same joined to batches that span neither a mark nor a multiple of CHUNK.

    One without records stays alone, and may span multiples of CHUNK: what retention deleted may be a billion messages.
    """
    held: list[Batch] = []
    size = 0
    async with aclosing(batches):
        async for batch in batches:
            turns = range(batch.start - batch.start % CHUNK + CHUNK, batch.next_offset + 1, CHUNK)
            ends = {*marks, *(turns if batch.records else ())}
            for part in split(batch, ends):
                if held and not part.records:
                    yield _joined(held)
                    held, size = [], 0
                held.append(part)
                size += sum(len(record.value or b"") for record in part.records)
                if not part.records or part.next_offset in ends or size > MOST_BYTES:
                    yield _joined(held)
                    held, size = [], 0
    if held:
        yield _joined(held)


def _joined(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    records = [record for batch in batches for record in batch.records]
    return Batch(batches[0].position, batches[0].start, batches[-1].next_offset, records)


def in_groups(positions: Iterable[Position]) -> list[list[Position]]:
    """Those that are read at once, of each topic AT_ONCE at most: which ones hangs on nothing but their numbers."""
    ordered = sorted(positions, key=lambda position: (position.topic, position.partition))
    groups = groupby(ordered, key=lambda position: (position.topic, position.partition // AT_ONCE))
    return [list(group) for _, group in groups]


async def read_in_turn(log: LogSource, spans: Spans, marks: Marks = NO_MARKS) -> AsyncGenerator[Batch, None]:
    """The batches of all spans, which are not empty: of each position in turn those up to its next multiple of CHUNK.

    A position that begins later has its turn when the others have come there. While a batch is worked on, the next one
    of each position is being read. Raises StoreUnavailable, and what `log` raises.
    """
    async with AsyncExitStack() as stack:
        ahead = []
        for position, (start, end) in spans.items():
            batches = in_chunks(log.read(position, start, end), marks.get(position, ()))
            ahead.append(_Ahead(batches, start, end))
            stack.push_async_callback(ahead[-1].close)
        while ahead:
            first = min(ahead, key=_Ahead.chunk)
            yield await first.take()
            if first.at >= first.end:
                ahead.remove(first)


class _Ahead:
    """One position's batches, of which the next one is being read."""

    def __init__(self, batches: AsyncGenerator[Batch, None], at: int, end: int) -> None:
        self.at, self.end = at, end
        self._batches = batches
        self._next = asyncio.create_task(self._read())

    def chunk(self) -> int:
        return self.at // CHUNK

    async def take(self) -> Batch:
        batch = await self._next
        self.at = batch.next_offset
        if self.at < self.end:
            self._next = asyncio.create_task(self._read())
        return batch

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)
        await self._batches.aclose()

    async def _read(self) -> Batch:
        return await anext(self._batches)
