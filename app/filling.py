"""Fills the backfills that are behind: reads their part of the log again, beside live counting, until they join it.

Each worker fills at the positions that it counts, so that the last step needs nobody else: the position's next batch
waits a moment while the rest is read, and from that batch on the backfill is counted with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from app.domain import fields
from app.domain.increments import Position
from app.errors import GenerationMissing, StoreUnavailable
from app.rereading import LogAsLeft, LogSource
from app.tracking import Batch, Tracker

log = logging.getLogger(__name__)

SHORT_REST = 2_000
"""With at most so many offsets left, live counting is made to wait for the rest."""
MOST_ROUNDS = 20
"""Where live counting is faster than filling it is made to wait in the end."""
NOTE_SECONDS = 0.5

Positions = Callable[[], Awaitable[Sequence[Position]]]
FirstOffsets = Callable[[Sequence[Position]], Awaitable[Mapping[Position, int]]]


@dataclass(slots=True)
class Filler:
    """Of one tracker. `fill` may be repeated, and cancelled at any point."""

    tracker: Tracker
    log: LogSource
    first_offsets: FirstOffsets
    """Where the log begins now."""
    all_positions: Positions
    """Those that a backfill must have joined at before it is shown."""
    pause: bool = True
    """Whether live counting runs beside it: then half of the time is left to that."""
    _noted_at: dict[tuple[Position, str], float] = field(default_factory=dict)

    async def fill(self) -> None:
        """Return when no backfill that the tracker knows is behind. Raises StoreUnavailable."""
        try:
            await self.tracker.meet_backfills()
            behind = self.tracker.backfills.behind()
            first = await self.first_offsets(list(behind)) if behind else {}
            beginning = (await self.tracker.opened()).store.beginning
            for position in behind:
                await self._fill_position(position, max(first.get(position, 0), beginning.of(position)))
            await self._note_joined()
        except GenerationMissing:
            log.info("filling stops: the counters are gone, everything is counted again")

    async def _fill_position(self, position: Position, first: int) -> None:
        for _ in range(MOST_ROUNDS):
            end = self.tracker.checkpoint(position)
            if end is None:
                return
            await self._read(position, first, end)
            moved_to = self.tracker.checkpoint(position)
            if moved_to is None or moved_to - end <= SHORT_REST:
                break
        async with self.tracker.backfills.lock(position):
            end = self.tracker.checkpoint(position)
            if end is not None:
                await self._read(position, first, end)
                self.tracker.backfills.join(position, end)

    async def _read(self, position: Position, first: int, end: int) -> None:
        behind = self.tracker.backfills.behind().get(position, {})
        start = min(behind.values(), default=end)
        if start < first:
            # What the log holds no more is not missing from a backfill, nor is what is deleted while it is read.
            await self.tracker.fill(Batch(position, start, first, ()))
            start = first
        async with aclosing(LogAsLeft(self.log).read(position, start, end)) as batches:
            async for batch in batches:
                if self.tracker.checkpoint(position) is None:
                    return
                begun = time.monotonic()
                await self.tracker.fill(batch)
                await self._tell(position, batch.records[0].timestamp if batch.records else 0, first, end)
                await asyncio.sleep(time.monotonic() - begun if self.pause else 0)

    async def _tell(self, position: Position, at: int, first: int, end: int) -> None:
        for name, checkpoint in dict(self.tracker.backfills.behind().get(position, {})).items():
            key = (position, name)
            state = {fields.DONE + position.name: checkpoint - first, fields.TOTAL + position.name: end - first}
            if key not in self._noted_at and first > 0:
                state[fields.SINCE + position.name] = at
            if time.monotonic() - self._noted_at.get(key, 0) > NOTE_SECONDS:
                self._noted_at[key] = time.monotonic()
                await self.tracker.note_backfill(name, state)

    async def _note_joined(self) -> None:
        waiting = self.tracker.backfills.to_note()
        if not waiting:
            return
        wanted = {fields.JOINED + position.name for position in await self.all_positions()}
        for position, name in waiting:
            state = await self.tracker.note_backfill(name, {fields.JOINED + position.name: 1})
            if not state.get(fields.FILLED) and wanted <= state.keys():
                await self.tracker.note_backfill(name, {fields.FILLED: 1})
                log.info("backfill %s is filled: its goal is shown", name)
            self.tracker.backfills.note(position, name)


async def keep_filling(filler: Filler, seconds: float, should_stop: Callable[[], bool]) -> None:
    """Look for backfills that are behind, for ever; what is unreachable is logged and tried again."""
    while not should_stop():
        try:
            await filler.fill()
        except StoreUnavailable as error:
            log.warning("filling goes on later: %s", error)
        await asyncio.sleep(seconds)
