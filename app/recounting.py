"""Counting the log again: into a second generation (`rebuild`), or into memory, to compare (`verify`).

Uses the tracker that counts live, with the same catalog and history, so that the same log gives the same counters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.folding import DeadLetter
from app.domain.increments import Position
from app.tracking import Batch, Tracker

Counters = Mapping[str, Mapping[str, int]]
"""owner -> field -> number"""

APPROXIMATE = frozenset({"last", "refused"})
"""Fields that say when or whether, not how many: not compared."""


class LogSource(Protocol):
    """How the log is read again."""

    def read(self, position: Position, start: int, end: int) -> AsyncIterator[Batch]: ...


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
    spans: Mapping[Position, tuple[int, int]],
    on_progress: Callable[[Progress], Awaitable[None]] | None = None,
) -> int:
    """Track every position's span (first offset, end), from the tracker's checkpoint on; returns the messages read.

    May be repeated: goes on where it stopped. Positions are read one after the other.
    """
    starts = await tracker.assign(list(spans))
    total = sum(end - max(first, starts[position]) for position, (first, end) in spans.items())
    done = 0
    for position, (first, end) in spans.items():
        start = starts[position]
        if start < first:
            await tracker.skip(position, first)
            start = first
        async for batch in log.read(position, start, end):
            outcome = await tracker.track(batch)
            if outcome.seek_to is not None:
                message = f"{position.name}: the recount was overtaken at offset {outcome.seek_to}"
                raise RuntimeError(message)
            done += batch.next_offset - batch.start
            if on_progress is not None:
                await on_progress(Progress(position, done, total))
    return done


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
