"""The write path in one process: a log in memory, the real tracker, and stores that fail on demand. Fast and exact."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.beginning import Beginning
from app.domain.catalog import Catalog
from app.domain.folding import DeadLetter
from app.domain.history import DefinitionVersion
from app.domain.increments import Applied, Increments, Position
from app.errors import GenerationMissing, StoreUnavailable
from app.hooks import Hook, no_hook
from app.ports import LeftReceipt, Receipt
from app.proving import FixedCatalog
from app.receipting import ReceiptSender
from app.stores.memory import MemoryCounters
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import NOW, RULES, LogRecord, catalog, version
from tests.faults.comparing import differences
from tests.faults.oracle import Answer, Definition, Message, count
from tests.faults.poison import POISON
from tests.faults.traffic import CONVERSION_GOALS, GOALS, PROJECTS, Traffic

PARTITIONS = 3


def definitions() -> list[DefinitionVersion]:
    """Every definition of the traffic, in every project, acting on everything."""
    found = []
    for project in PROJECTS:
        for number, body in enumerate(CONVERSION_GOALS):
            found.append(version("conversion_goal", f"{project}-cg-{number}", body, project))
        for number, body in enumerate(GOALS):
            whole = {"target": 1, "deadline": "2030-01-01", "startsAt": "2020-01-01", **body}
            found.append(version("goal", f"{project}-goal-{number}", whole, project))
    return found


def traffic_catalog() -> Catalog:
    return catalog(*definitions(), projects=PROJECTS)


Log = dict[Position, list[LogRecord]]


def log_of(seed: int, number: int, *, poison: float = 0.05, partitions: int = PARTITIONS) -> Log:
    """A log of that traffic."""
    log: Log = {Position("events", partition, "id"): [] for partition in range(partitions)}
    positions = list(log)
    for sent in Traffic(seed, partitions=partitions, now=NOW, poison=poison).take(number):
        own = log[positions[sent.partition]]
        own.append(LogRecord(len(own), sent.value, NOW, sent.key))
    return log


def answer_for(log: Log) -> Answer:
    messages = [
        Message(position.partition, record.offset, record.timestamp, record.value)
        for position, own in log.items()
        for record in own
    ]
    versions = [
        Definition(v.kind, v.id, v.project, v.effective_from, v.effective_until, v.created_at, v.body)
        for v in definitions()
    ]
    return count(messages, dict.fromkeys(PROJECTS, 0), versions, POISON)


def differences_to_log(counters: MemoryCounters, log: Log) -> list[str]:
    """What the counters hold against what the oracle says of the log."""
    projects, partitions = counters.accounting()
    held = {**counters.owners(), "acct": partitions, **{f"p:{key}": own for key, own in projects.items()}}
    return differences(held, answer_for(log), {one.id: one.kind for one in definitions()})


@dataclass(slots=True)
class FlakyCounters:
    """Implements CounterStore over counters in memory. Each apply takes the next fault of the list, if there is one:

    `before`: fails without doing it; `after`: does it and fails; `twin`: another worker does it first; `rollback`:
    goes back to the state three calls ago first; `stripe`: the last stripe alone does; `missing`: everything is gone.
    """

    inner: MemoryCounters
    faults: Iterator[str]
    before_checkpoints: Callable[[], Awaitable[None]] | None = None
    _history: list[MemoryCounters] = field(default_factory=list)

    @property
    def stripes(self) -> int:
        return self.inner.stripes

    @property
    def beginning(self) -> Beginning:
        return self.inner.beginning

    async def checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]]:
        if self.before_checkpoints is not None:
            await self.before_checkpoints()
        return await self.inner.checkpoints(positions)

    async def open_backfills(
        self, stripes: Mapping[str, int], positions: Sequence[Position]
    ) -> Mapping[str, Sequence[int]]:
        return await self.inner.open_backfills(stripes, positions)

    async def note_backfill(self, name: str, stripe: int, state: Mapping[str, int]) -> Mapping[str, int]:
        return await self.inner.note_backfill(name, stripe, state)

    async def left_receipts(self, position: str, limit: int) -> Sequence[LeftReceipt]:
        return await self.inner.left_receipts(position, limit)

    async def forget_receipts(self, position: str, receipts: Sequence[LeftReceipt]) -> None:
        await self.inner.forget_receipts(position, receipts)

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        fault = next(self.faults, "")
        if fault == "before":
            raise StoreUnavailable("redis", "refused")
        if fault == "missing":
            raise GenerationMissing(1)
        if fault == "rollback" and len(self._history) >= 3:
            self.inner = copy.deepcopy(self._history[-3])
        if fault == "stripe" and len(self._history) >= 3:
            self.inner._stripes[-1] = copy.deepcopy(self._history[-3]._stripes[-1])
        if fault == "twin":
            await self.inner.apply(batch)
        if fault:
            self._history.clear()
        self._history.append(copy.deepcopy(self.inner))
        applied = await self.inner.apply(batch)
        if fault == "after":
            raise StoreUnavailable("redis", "no answer")
        return applied


@dataclass(slots=True)
class Letters:
    """Implements DeadLetters. `failures`: how many sends fail first."""

    failures: int = 0
    sent: list[tuple[Position, int, str]] = field(default_factory=list)
    before_send: Callable[[Position, Sequence[DeadLetter]], None] | None = None

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        if self.before_send is not None:
            self.before_send(position, letters)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the dead-letter topic", "not writable")
        self.sent += [(position, letter.record.offset, str(letter.reason)) for letter in letters]

    def missing_from(self, log: Log) -> list[tuple[Position, int]]:
        """Poison of the log that has no letter."""
        told = {(position, offset) for position, offset, _ in self.sent}
        poison = [(position, r.offset) for position, own in log.items() for r in own if r.value in POISON]
        return [one for one in poison if one not in told]


@dataclass(slots=True)
class KeptReceipts:
    """Implements ReceiptTopic. `failures`: how many sends fail first, half-way."""

    failures: int = 0
    sent: list[Receipt] = field(default_factory=list)

    async def send(self, receipts: Sequence[Receipt]) -> None:
        if self.failures:
            self.failures -= 1
            self.sent += receipts[: len(receipts) // 2]
            raise StoreUnavailable("the topic of receipts", "not writable")
        self.sent += receipts


class World:
    """A log, its counters, its dead letters and, with `receipts`, those; trackers come and go."""

    def __init__(
        self,
        log: Log,
        faults: Sequence[str] = (),
        letters: Letters | None = None,
        receipts: KeptReceipts | None = None,
        stripes: int = 1,
    ) -> None:
        self.log = log
        self._rules = replace(RULES, stripes=stripes)
        self.letters = letters or Letters()
        self.receipts = receipts
        self.store = FlakyCounters(MemoryCounters(stripes), iter(faults))
        self._catalog = FixedCatalog(traffic_catalog())

    @property
    def counters(self) -> MemoryCounters:
        return self.store.inner

    async def _open(self) -> OpenedGeneration:
        return OpenedGeneration(self.store, self._rules, self.store if self.receipts is not None else None)

    async def _reopen(self) -> OpenedGeneration:
        # What a worker does when its generation is missing: it begins a new one.
        self.store.inner = MemoryCounters(self._rules.stripes)
        return await self._open()

    def tracker(self, hook: Hook = no_hook) -> Tracker:
        """A new worker's tracker."""
        opened = 0

        async def open_generation() -> OpenedGeneration:
            nonlocal opened
            opened += 1
            return await (self._open() if opened == 1 else self._reopen())

        sender = ReceiptSender(self.receipts, hook) if self.receipts is not None else None
        return Tracker(
            open_generation, self._catalog, self.letters, receipts=sender, hook=hook, retry_wait_seconds=0.001
        )

    async def send_what_is_left(self) -> None:
        """What a worker does again and again, whatever comes."""
        if self.receipts is not None:
            for position in self.log:
                await ReceiptSender(self.receipts).send(self.store, position)

    async def read(self, tracker: Tracker, size: int = 20) -> None:
        """Read the whole log in batches of `size`, as the consumer does: from the checkpoints, and where it is told."""
        next_offset = dict(await tracker.assign(list(self.log)))
        while await self._is_behind(tracker, next_offset):
            await self._read_from(tracker, next_offset, size)

    async def _is_behind(self, tracker: Tracker, next_offset: dict[Position, int]) -> bool:
        """A store that goes back takes the counts of partitions along in which nothing is left to be read."""
        if all(next_offset[position] >= len(own) for position, own in self.log.items()):
            next_offset.update(await tracker.assign_again())
        return any(next_offset[position] < len(own) for position, own in self.log.items())

    async def _read_from(self, tracker: Tracker, next_offset: dict[Position, int], size: int) -> None:
        while any(next_offset[position] < len(own) for position, own in self.log.items()):
            for position, own in self.log.items():
                start = next_offset[position]
                some = own[start : start + size]
                if not some:
                    continue
                outcome = await tracker.track(Batch(position, start, start + len(some), some))
                next_offset[position] = start + len(some) if outcome.seek_to is None else outcome.seek_to
                if outcome.recount:
                    next_offset.update({each: tracker.checkpoint(each) or 0 for each in self.log})

    def differences(self) -> list[str]:
        """Between the counters and the oracle's answer."""
        return differences_to_log(self.counters, self.log)
