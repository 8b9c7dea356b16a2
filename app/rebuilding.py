"""Counting the whole log once more, into a generation that is not shown, while the one that is shown counts on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.increments import Position
from app.errors import GenerationMissing
from app.filling import Filler
from app.ports import CatalogKeeper, CounterStore
from app.proving import Snapshot, counters_of
from app.recounting import Comparison, LogSource, NoDeadLetters, Progress, compare, recount
from app.tracking import Counting, Tracker

NOTE_MS = 1_000
"""How often the generation is told that somebody counts into it."""

Spans = Mapping[Position, tuple[int, int]]
"""Per position of the topics as they are now: the log's first offset, and its end."""


class NewCounters(CounterStore, Snapshot, Protocol):
    """Of the generation that is counted."""

    async def expect_positions(self, positions: Sequence[Position]) -> None: ...

    async def report_freshness(self, fresh: Mapping[Position, tuple[int, int]], now: int) -> None: ...


@dataclass(slots=True)
class Rebuild:
    """Of one generation. `count` may be repeated, also by another process after this one died: it goes on."""

    store: NewCounters
    counting: Counting
    catalog: CatalogKeeper
    log: LogSource
    spans: Callable[[], Awaitable[Spans]]
    note_counting: Callable[[int], Awaitable[None]]
    """Called once a second with the time of now: somebody counts into this generation."""
    now: Callable[[], int]

    async def count(self, on_progress: Callable[[Progress], None]) -> int:
        """Return when all is counted that the log held when it was last asked; the messages read.

        Raises StoreUnavailable.
        """
        tracker = Tracker(self._open_counting, self.catalog, NoDeadLetters())
        noted = 0

        async def tell(progress: Progress) -> None:
            nonlocal noted
            on_progress(progress)
            if self.now() - noted > NOTE_MS:
                noted = self.now()
                await self.note_counting(noted)

        messages, is_more = 0, True
        while is_more:
            asked_at, spans = self.now(), await self.spans()
            read = await recount(tracker, self.log, spans, tell)
            messages, is_more = messages + read, read > 0
        await self._fill_backfills(tracker, spans)
        await self.store.expect_positions(list(spans))
        await self.store.report_freshness({position: (asked_at, end) for position, (_, end) in spans.items()}, asked_at)
        return messages

    async def compare_with(self, shown: Snapshot | None) -> Comparison:
        """With the generation that is shown, as far as that has counted; without one every counter differs."""
        try:
            live = counters_of(await shown.snapshot()) if shown is not None else {}
        except GenerationMissing:
            live = {}
        return compare(live, counters_of(await self.store.snapshot()))

    async def _open_counting(self) -> Counting:
        return self.counting

    async def _fill_backfills(self, tracker: Tracker, spans: Spans) -> None:
        """Most were counted with all the rest; those that were defined meanwhile are behind."""

        async def first_offsets(positions: Sequence[Position]) -> dict[Position, int]:
            return {position: spans[position][0] for position in positions}

        async def all_positions() -> list[Position]:
            return list(spans)

        await Filler(tracker, self.log, first_offsets, all_positions, pause=False).fill()
