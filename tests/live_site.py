"""A log to which more is published, and counted, whenever somebody looks at anything of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from app.domain.beginning import Spans
from app.domain.catalog import Catalog
from app.domain.increments import Position
from app.filling import Filler
from app.recounting import Counters
from app.stores.memory import MemoryCounters
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.backfill_site import GrowingCatalog, MemoryLog
from tests.builders import RULES
from tests.faults.in_memory import Letters, Log


class LiveSite:
    """Implements Snapshot and LogSource over counters that are counted on after each look at anything."""

    def __init__(
        self,
        log: Log,
        definitions: Catalog,
        *,
        stripes: int = 1,
        step: int = 15,
        counted: tuple[MemoryCounters, Mapping[Position, int]] | None = None,
    ) -> None:
        """`counted`: counters that exist, and up to where."""
        self.log, self.step = log, step
        self.store, ends = counted or (MemoryCounters(stripes), dict.fromkeys(log, 0))
        self.beginning = self.store.beginning
        self.ends = dict(ends)
        self.rules = replace(RULES, stripes=stripes)
        self.definitions = GrowingCatalog(definitions)
        self.source = MemoryLog(log)
        self.goes_on_while_it_is_read = False
        self.later: list[tuple[int, Catalog]] = []
        """What is defined when the first record is counted that was received at such a moment."""
        self._tracker = Tracker(self._open, self.definitions, Letters())
        self._filler = Filler(self._tracker, self.source, self._first_offsets, self._positions, pause=False)

    async def _open(self) -> OpenedGeneration:
        return OpenedGeneration(self.store, self.rules)

    async def go_on(self, number: int | None = None) -> None:
        """More is published, and counted."""
        if self._tracker.checkpoint(next(iter(self.log))) is None:
            await self._tracker.assign(list(self.log))
        beyond = {position: start + (number or self.step) for position, start in self.ends.items()}
        known = [record.timestamp for position, end in beyond.items() for record in self.log[position][:end]]
        newest = max(known, default=0)
        while self.later and self.later[0][0] <= newest:
            self.definitions.current = self.later.pop(0)[1]
        for position, start in self.ends.items():
            end = min(beyond[position], len(self.log[position]))
            if start < end:
                await self._tracker.track(Batch(position, start, end, self.log[position][start:end]))
                self.ends[position] = end
        await self._filler.fill()

    async def _positions(self) -> Sequence[Position]:
        return list(self.log)

    async def _first_offsets(self, positions: Sequence[Position]) -> Mapping[Position, int]:
        return dict.fromkeys(positions, 0)

    async def snapshot(self) -> list[Counters]:
        found: list[Counters] = []
        for stripe in self.store._stripes:
            owners = {owner: dict(own) for owner, own in stripe.counters.items()}
            found.append({**owners, "cp": dict(stripe.checkpoints)})
            await self.go_on()
        return found

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Counters:
        own = self.store._backfills[name]
        found = {owner: dict(own.counters[owner]) for owner in (f"g:{goal}", f"h:{goal}")}
        state = dict(self.store._backfill_states[name])
        checkpoints = dict(own.checkpoints)
        await self.go_on()
        return {**found, "cp": checkpoints, "state": state}

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        async for found in self.source.read(position, start, end):
            yield found
            if self.goes_on_while_it_is_read:
                await self.go_on()

    async def read_catalog(self) -> Catalog:
        found = self.definitions.current
        await self.go_on()
        return found

    async def read_spans(self) -> Spans:
        found = {position: (0, end) for position, end in self.ends.items()}
        await self.go_on()
        return found
