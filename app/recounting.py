"""Counting the log again: into a second generation (`rebuild`), or into memory, to compare (`verify`).

Uses the tracker that counts live, with the same catalog and history, so that the same log gives the same counters.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import compress

from app.domain import fields
from app.domain.beginning import Beginning, Spans
from app.domain.folding import DeadLetter
from app.domain.increments import Applied, Increments, Position
from app.errors import Conflict
from app.ports import CounterStore
from app.rereading import NO_MARKS, LogAsLeft, LogSource, Marks, OnHole, in_groups, read_in_turn
from app.tracking import Batch, Outcome, Tracker

Counters = Mapping[str, Mapping[str, int]]
"""owner -> field -> number"""

APPROXIMATE = frozenset({fields.LAST, fields.REFUSED})
"""Fields that say when or whether, not how many: not compared."""


class NoDeadLetters:
    """Implements tracking.DeadLetters: what the log holds of dead letters was sent when it was counted first."""

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        del letters, position


@dataclass(frozen=True, slots=True)
class RecountProgress:
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
    on_progress: Callable[[RecountProgress], Awaitable[None]],
    on_hole: OnHole,
    marks: Marks = NO_MARKS,
) -> int:
    """Track every position's span (first offset, end), from the tracker's checkpoint on; returns the messages read.

    May be repeated: goes on where it stopped. Where the log does not reach back to there any more, or retention
    overtakes the reading, `on_hole` is told before what is missing is passed over; also of a position of which nothing
    was counted yet, since one that is to begin later has a checkpoint there. Positions are counted in an order that
    their offsets alone decide (see read_in_turn), so that of two copies in two of them the same one counts each time.
    No batch spans one of its position's `marks`.
    """
    starts = await tracker.assign(list(spans))
    # A position that was counted beyond its end already takes nothing from the others.
    total = sum(max(end - max(first, starts[position]), 0) for position, (first, end) in spans.items())
    one = _Recount(tracker, on_progress, on_hole, total)
    left = LogAsLeft(log, one.remember_hole)
    for group in in_groups(spans):
        rest = {}
        for position in group:
            (first, end), start = spans[position], starts[position]
            if start < first:
                await on_hole(position, start, first)
                await tracker.skip(position, first)
            if max(start, first) < end:
                rest[position] = max(start, first), end
        async with aclosing(read_in_turn(left, rest, marks)) as batches:
            await one.count(batches)
    return one.done


@dataclass(slots=True)
class _Recount:
    tracker: Tracker
    on_progress: Callable[[RecountProgress], Awaitable[None]]
    on_hole: OnHole
    total: int
    done: int = 0
    holes: dict[tuple[Position, int], int] = field(default_factory=dict)
    """What was found to be deleted, and is not told yet: a position and where it begins -> where it ends."""

    async def remember_hole(self, position: Position, start: int, to: int) -> None:
        self.holes[position, start] = to

    async def count(self, batches: AsyncIterator[Batch]) -> None:
        """While a batch is applied, the next one, of another position, is folded; it is applied after it."""
        under_way: deque[tuple[Batch, asyncio.Task[Outcome]]] = deque()
        try:
            async for batch in batches:
                hole_ends = self.holes.pop((batch.position, batch.start), None)
                last = under_way[-1] if under_way else None
                if last is not None and (hole_ends is not None or last[0].position == batch.position):
                    await self._finish(under_way)
                    last = None
                if hole_ends is not None:
                    await self._leave_out(batch.position, batch.start, hole_ends)
                after = None if last is None else last[1]
                under_way.append((batch, asyncio.create_task(self.tracker.track(batch, after=after))))
                if last is not None:
                    await self._finish(under_way)
            while under_way:
                await self._finish(under_way)
        finally:
            tasks = [task for _, task in under_way]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, under_way: deque[tuple[Batch, asyncio.Task[Outcome]]]) -> None:
        batch, task = under_way[0]
        outcome = await task
        under_way.popleft()
        if outcome.seek_to is not None:
            what = f"{batch.position.topic}/{batch.position.partition} is counted up to {outcome.seek_to}"
            raise Conflict(
                f"{what} and not {batch.start}: another rebuild is running, or Redis lost writes; "
                "run it again when that is over"
            )
        self.done += batch.next_offset - batch.start
        await self.on_progress(RecountProgress(batch.position, self.done, self.total))

    async def _leave_out(self, position: Position, start: int, to: int) -> None:
        await self.on_hole(position, start, to)
        self.total -= to - start
        self.done -= to - start


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
    were looked at one after the other while they were counted. No batch may span one."""

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
