"""A log in memory, goals with and without `backfill`, and workers that count and fill them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain import fields
from app.domain.catalog import Catalog
from app.domain.history import DefinitionVersion
from app.domain.increments import Position
from app.errors import DeletedMeanwhile
from app.filling import Filler
from app.hooks import Hook, no_hook
from app.stores.memory import MemoryCounters
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import NOW, RULES, LogRecord, catalog, conversion_goal, event, version
from tests.faults.in_memory import FlakyCounters, Letters, Log

SINCE = NOW + 5_000_000
"""When the goals with `backfill` are created: in the middle of the log."""
STARTS_AT = "2026-09-21T08:00:00Z"
KINDS: Mapping[str, dict[str, object]] = {
    "count": {},
    "sum": {"aggregation": "sum"},
    "unique": {"aggregation": "unique", "period": "day"},
    "rate": {"aggregation": "rate", "denominatorMetric": "visit"},
    "session": {"metric": "visit"},
    "visitor": {"metric": "person", "period": "week"},
}
DEFINITIONS = [
    conversion_goal("buy", valueProperty="amount"),
    conversion_goal("visit", metric="visit", counting="once_per_session"),
    conversion_goal("person", metric="person", counting="once_per_visitor"),
]


@dataclass
class GrowingCatalog:
    """Implements CatalogKeeper; what it holds is replaced by the test."""

    current: Catalog

    async def reach(self, received_at: int) -> None:
        del received_at


@dataclass
class MemoryLog:
    """Implements LogSource over a log in memory."""

    log: Log
    size: int = 25
    read_messages: int = 0
    on_batch: Callable[[], Awaitable[None]] | None = None
    deleted_below: dict[Position, int] = field(default_factory=dict)
    """Where retention has got to."""
    being_read: int = 0
    """Readings that have begun and not ended."""

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        self.being_read += 1
        try:
            async for batch in self._read(position, start, end):
                yield batch
        finally:
            self.being_read -= 1

    async def _read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        for first in range(start, end, self.size):
            if first < self.deleted_below.get(position, 0):
                raise DeletedMeanwhile(position.name, first, self.deleted_below[position])
            beyond = min(first + self.size, end)
            self.read_messages += beyond - first
            if self.on_batch is not None:
                await self.on_batch()
            await asyncio.sleep(0)
            yield Batch(position, first, beyond, self.log[position][first:beyond])


def goals(*, backfill: bool, acts_from: int) -> list[DefinitionVersion]:
    """One goal of each kind."""
    return [
        replace(
            version(
                "goal",
                f"{kind}-{'filled' if backfill else 'whole'}",
                {
                    "metric": "m",
                    "target": 1,
                    "deadline": "2030-01-01",
                    "startsAt": STARTS_AT,
                    "backfill": backfill,
                    **body,
                },
            ),
            effective_from=acts_from,
            created_at=acts_from,
            revision=7,
        )
        for kind, body in KINDS.items()
    ]


def log_of(seed: int, number: int = 400, partitions: int = 2) -> Log:
    """Sessions, visitors, late events, copies and corrections, on both sides of the goals' creation.

    A visitor's events are in one partition, so that which of them was the first does not depend on who reads when.
    """
    chance = random.Random(seed)
    log: Log = {Position("events", partition, "id"): [] for partition in range(partitions)}
    positions, sent = list(log), list[tuple[Position, bytes]]()
    for number_sent in range(number):
        visitor = chance.randrange(30)
        position = positions[visitor % partitions]
        at = NOW + number_sent * 10_000_000 // number
        if sent and chance.random() < 0.2:
            position, value = chance.choice(sent)
        else:
            who = {"sessionId": f"s{visitor}-{chance.randrange(3)}", "visitorId": f"v{visitor}"}
            data = {"amount": chance.randrange(100) / 4}
            when = at - chance.randrange(9_000_000)
            value = event(f"e{number_sent}", "purchase", "shop", timestamp=when, data=data, **who)
            sent.append((position, value))
            if chance.random() < 0.1:
                back: dict[str, object] = {"retracts": f"e{number_sent}", "eventType": "purchase", "data": data, **who}
                sent.append((position, event(f"r{number_sent}", "$retract", "shop", timestamp=when, **back)))
        log[position].append(LogRecord(len(log[position]), value, at))
    return log


@dataclass
class Site:
    """A log, its counters, and workers that come and go."""

    log: Log
    faults: Sequence[str] = ()
    catalog: GrowingCatalog = field(
        default_factory=lambda: GrowingCatalog(catalog(*DEFINITIONS, *goals(backfill=False, acts_from=0)))
    )

    counters: MemoryCounters = field(default_factory=MemoryCounters)

    def __post_init__(self) -> None:
        self.store = FlakyCounters(self.counters, iter(self.faults))
        self.source = MemoryLog(self.log)

    def define(self) -> None:
        """Create the goals with `backfill`."""
        whole = goals(backfill=False, acts_from=0)
        self.catalog.current = catalog(*DEFINITIONS, *whole, *goals(backfill=True, acts_from=SINCE))

    def worker(self, hook: Hook = no_hook) -> tuple[Tracker, Filler]:
        async def open_generation() -> OpenedGeneration:
            return OpenedGeneration(self.store, RULES)

        tracker = Tracker(open_generation, self.catalog, Letters(), hook=hook, retry_wait_seconds=0.001)
        return tracker, Filler(tracker, self.source, self.first_offsets, self.positions, pause=False)

    async def first_offsets(self, positions: Sequence[Position]) -> Mapping[Position, int]:
        return dict.fromkeys(positions, 0)

    async def positions(self) -> Sequence[Position]:
        return list(self.log)

    async def read(self, tracker: Tracker, until: float = 1.0, size: int = 20) -> None:
        """Read the first part of the log, as the consumer does."""
        next_offset = dict(await tracker.assign(list(self.log)))
        ends = {position: int(len(own) * until) for position, own in self.log.items()}
        while any(next_offset[position] < end for position, end in ends.items()):
            for position, end in ends.items():
                start = next_offset[position]
                some = self.log[position][start : min(start + size, end)]
                if some:
                    outcome = await tracker.track(Batch(position, start, start + len(some), some))
                    next_offset[position] = start + len(some) if outcome.seek_to is None else outcome.seek_to
                await asyncio.sleep(0)

    def state(self, kind: str, revision: int = 7) -> Mapping[str, int]:
        return self.store.inner.owner(fields.in_backfill(f"{kind}-filled~{revision}", fields.STATE))

    def assert_filled_exactly(self, revision: int = 7) -> None:
        """Each goal with `backfill` holds what the goal of its kind holds that was there from the log's start."""
        for kind in KINDS:
            assert self.state(kind, revision).get(fields.FILLED), kind
            for owner in (fields.goal_owner, fields.goal_history_owner):
                whole = self.store.inner.owner(owner(f"{kind}-whole"))
                filled = self.store.inner.owner(
                    fields.in_backfill(f"{kind}-filled~{revision}", owner(f"{kind}-filled"))
                )
                assert counts_of(filled) == counts_of(whole), kind
            assert whole


def counts_of(own: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in own.items() if number and name != fields.LAST}
