"""Counting the log again: into a second generation (`rebuild`), or into memory, to compare (`verify`).

Uses the tracker that counts live, with the same catalog and history, so that the same log gives the same counters.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import compress, pairwise
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

from app.domain.beginning import Beginning
from app.domain.folding import DeadLetter
from app.domain.increments import Applied, Increments, Position
from app.errors import Conflict, DeletedMeanwhile, EndsBefore
from app.ports import CounterStore
from app.tracking import Batch, Tracker

Counters = Mapping[str, Mapping[str, int]]
"""owner -> field -> number"""

Spans: TypeAlias = Mapping[Position, tuple[int, int]]
"""Per position: the first offset, and the end."""

Marks: TypeAlias = Mapping[Position, Sequence[int]]
"""Per position the offset at which each stripe stands."""

APPROXIMATE = frozenset({"last", "refused"})
"""Fields that say when or whether, not how many: not compared."""

AT_ONCE = 3
"""Positions that are counted again at once: while one is folded, the next ones wait for the broker and the store."""

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


class NoDeadLetters:
    """Implements tracking.DeadLetters: what the log holds of dead letters was sent when it was counted first."""

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        del letters, position


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recount is: messages read, of how many."""

    position: Position
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter that is not what the log says."""

    owner: str
    field: str
    counted: int
    """What the counters hold."""
    recounted: int
    """What the log gives."""


@dataclass(slots=True)
class Comparison:
    """The outcome of a comparison; empty `differences` is proof."""

    differences: list[Difference] = field(default_factory=list)
    compared: int = 0


async def recount(
    tracker: Tracker,
    log: LogSource,
    spans: Spans,
    on_progress: Callable[[Progress], Awaitable[None]],
    on_hole: OnHole,
) -> int:
    """Track every position's span (first offset, end), from the tracker's checkpoint on; returns the messages read.

    May be repeated: goes on where it stopped. Where the log does not reach back to there any more, or retention
    overtakes the reading, `on_hole` is told before what is missing is passed over; also of a position of which nothing
    was counted yet, since one that is to begin later has a checkpoint there. Each position is read in its order, and
    AT_ONCE of them meanwhile; the first error ends them all.
    """
    starts = await tracker.assign(list(spans))
    total = sum(end - max(first, starts[position]) for position, (first, end) in spans.items())
    done = 0

    async def leave_out(position: Position, start: int, to: int) -> None:
        nonlocal total, done
        await on_hole(position, start, to)
        total -= to - start
        done -= to - start

    left, room = LogAsLeft(log, leave_out), asyncio.Semaphore(AT_ONCE)

    async def recount_one(position: Position, first: int, end: int) -> None:
        nonlocal done
        start = starts[position]
        if start < first:
            await on_hole(position, start, first)
            await tracker.skip(position, first)
            start = first
        async with aclosing(left.read(position, start, end)) as batches:
            async for batch in batches:
                outcome = await tracker.track(batch)
                if outcome.seek_to is not None:
                    what = f"{position.topic}/{position.partition} is counted up to {outcome.seek_to}"
                    raise Conflict(
                        f"{what} and not {batch.start}: another rebuild is running, or Redis lost writes; "
                        "run it again when that is over"
                    )
                done += batch.next_offset - batch.start
                await on_progress(Progress(position, done, total))

    async def recount_in_turn(position: Position, first: int, end: int) -> None:
        async with room:
            await recount_one(position, first, end)

    await _all_of([recount_in_turn(position, first, end) for position, (first, end) in spans.items()])
    return done


async def _all_of(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Return when all are done, or raise what the first that failed raised, when the others have ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def compare(counted: Counters, recounted: Counters) -> Comparison:
    """Every counter of either side; a missing one is 0."""
    result = Comparison()
    for owner in sorted({*counted, *recounted}):
        have, should = counted.get(owner, {}), recounted.get(owner, {})
        for name in sorted({*have, *should} - APPROXIMATE):
            result.compared += 1
            if have.get(name, 0) != should.get(name, 0):
                result.differences.append(Difference(owner, name, have.get(name, 0), should.get(name, 0)))
    return result


@dataclass(frozen=True, slots=True)
class StoreUpTo:
    """Implements what recounting asks of a CounterStore. Each stripe of `inner` stops at its own mark, as those do that
    were looked at one after the other while they were counted. The log has to be cut there, see LogCutAt."""

    inner: CounterStore
    marks: Marks

    @property
    def stripes(self) -> int:
        return self.inner.stripes

    @property
    def beginning(self) -> Beginning:
        return self.inner.beginning

    async def checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]]:
        return await self.inner.checkpoints(positions)

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        are_due = [part.next_offset <= self.marks[part.position][part.stripe] for part in batch]
        applied = iter(await self.inner.apply(list(compress(batch, are_due))))
        return [
            next(applied) if is_due else Applied(True, part.next_offset)
            for part, is_due in zip(batch, are_due, strict=True)
        ]

    async def open_backfills(
        self, stripes: Mapping[str, int], positions: Sequence[Position]
    ) -> Mapping[str, Sequence[int]]:
        return await self.inner.open_backfills(stripes, positions)

    async def note_backfill(self, name: str, stripe: int, state: Mapping[str, int]) -> Mapping[str, int]:
        return await self.inner.note_backfill(name, stripe, state)


@dataclass(frozen=True, slots=True)
class LogCutAt:
    """Implements LogSource: `inner` in batches of which none spans a mark."""

    inner: LogSource
    marks: Marks

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        async with aclosing(self.inner.read(position, start, end)) as batches:
            async for batch in batches:
                for part in cut(batch, self.marks[position]):
                    yield part


def cut(batch: Batch, offsets: Iterable[int]) -> Iterator[Batch]:
    """The same in batches that begin at these offsets, as far as they lie within."""
    within = sorted({offset for offset in offsets if batch.start < offset < batch.next_offset})
    for start, end in pairwise([batch.start, *within, batch.next_offset]):
        first, beyond = (bisect_left(batch.records, offset, key=attrgetter("offset")) for offset in (start, end))
        yield Batch(batch.position, start, end, batch.records[first:beyond])
