"""The log is read again in an order that its offsets alone decide; while a batch is applied, the next one is folded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from app import rereading
from app.domain.folding import Record
from app.domain.increments import Applied, Increments, Position
from app.proving import FixedCatalog
from app.recounting import NoDeadLetters, RecountProgress, recount
from app.rereading import in_chunks, in_groups, read_in_turn, split
from app.stores.memory import MemoryCounters
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import RULES, batch, records
from tests.faults.in_memory import log_of, traffic_catalog

POSITIONS = [Position("events", number, "id") for number in range(6)]


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "CHUNK", 20)
    monkeypatch.setattr(rereading, "AT_ONCE", 2)


@dataclass
class Jittery:
    """A log whose answers are as long, and take as long, as chance has it."""

    log: Mapping[Position, Sequence[Record]]
    chance: random.Random
    read_at_once: set[Position] = field(default_factory=set)
    most_at_once: int = 0

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        self.read_at_once.add(position)
        self.most_at_once = max(self.most_at_once, len(self.read_at_once))
        while start < end:
            beyond = min(end, start + self.chance.randrange(1, 50))
            for _ in range(self.chance.randrange(5)):
                await asyncio.sleep(0)
            yield Batch(position, start, beyond, self.log[position][start:beyond])
            start = beyond
        self.read_at_once.remove(position)


def site(seed: int) -> Jittery:
    return Jittery(log_of(9, 600), random.Random(seed))


async def test_partitions_have_their_turns_by_their_offsets_alone() -> None:
    orders = []
    for seed in range(10):
        log = site(seed)
        spans = {position: (number * 13, 100) for number, position in enumerate(log.log)}
        orders.append([(b.position, r.offset) async for b in read_in_turn(log, spans) for r in b.records])
        assert log.most_at_once == len(log.log)
    first, second, third = log.log
    assert all(order == orders[0] for order in orders)
    assert sorted(orders[0], key=lambda one: one[0].partition) == [
        (position, offset) for position, (start, end) in spans.items() for offset in range(start, end)
    ]
    turns = [one for n, one in enumerate(orders[0]) if n == 0 or one[0] != orders[0][n - 1][0]]
    assert turns[:5] == [(first, 0), (second, 13), (first, 20), (second, 20), (third, 26)]


@pytest.mark.parametrize("marks", [(), (7, 20, 33), (1, 2, 3, 99)])
async def test_batches_span_neither_a_mark_nor_the_end_of_a_turn(marks: tuple[int, ...]) -> None:
    log = site(3)
    position, *_ = log.log
    found = [batch async for batch in in_chunks(log.read(position, 4, 97), marks)]
    ends = sorted({20, 40, 60, 80, 97, *(mark for mark in marks if 4 < mark < 97)})
    assert [batch.next_offset for batch in found] == ends
    assert [batch.start for batch in found] == [4, *ends[:-1]]
    assert [record.offset for batch in found for record in batch.records] == list(range(4, 97))


async def test_a_turn_of_large_messages_comes_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "MOST_BYTES", 1)
    log = site(4)
    position, *_ = log.log
    found = [batch async for batch in in_chunks(log.read(position, 0, 40))]
    assert len(found) > 2
    assert [batch.start for batch in found] == [0, *(batch.next_offset for batch in found[:-1])]


async def test_what_holds_no_record_stays_alone() -> None:
    position, *_ = POSITIONS
    records = log_of(9, 60)[position][:20]

    async def read() -> AsyncGenerator[Batch, None]:
        yield Batch(position, 0, 5, records[:5])
        yield Batch(position, 5, 12, ())
        yield Batch(position, 12, 20, records[12:])
        yield Batch(position, 20, 10**9, ())

    places = [(batch.start, batch.next_offset) async for batch in in_chunks(read(), [30])]
    assert places == [(0, 5), (5, 12), (12, 20), (20, 30), (30, 10**9)]


def test_which_are_read_at_once_hangs_on_their_numbers_alone() -> None:
    zero, one, two, three, four, five = POSITIONS
    assert in_groups([five, one, zero, two, three, four]) == [[zero, one], [two, three], [four, five]]
    assert in_groups([two, one, five, four]) == [[one], [two], [four, five]]
    other = Position("others", 0, "id")
    assert in_groups([other, zero]) == [[zero], [other]]


class Slow(MemoryCounters):
    """Notes when it begins to apply and when it has applied, which takes as long as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.begun: list[tuple[Position, int]] = []
        self.ended: list[tuple[Position, int]] = []

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        place = batch[0].position, batch[0].expected
        self.begun.append(place)
        for _ in range(self._chance.randrange(20)):
            await asyncio.sleep(0)
        applied = await super().apply(batch)
        self.ended.append(place)
        return applied


async def count_again(
    store: MemoryCounters,
    log: Jittery,
    catalog: FixedCatalog,
    *,
    ends: Mapping[Position, int] | None = None,
    told: list[RecountProgress] | None = None,
) -> int:
    """The whole log, or up to these ends."""

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(store, RULES)

    async def ignore_hole(position: Position, start: int, to: int) -> None:
        raise AssertionError((position, start, to))

    async def note(progress: RecountProgress) -> None:
        if told is not None:
            told.append(progress)

    wanted = {position: len(own) for position, own in log.log.items()} if ends is None else ends
    spans = {position: (0, end) for position, end in wanted.items()}
    return await recount(Tracker(open_generation, catalog, NoDeadLetters()), log, spans, note, ignore_hole)


async def test_batches_are_applied_in_their_turns_each_after_the_one_before_has_been() -> None:
    orders = []
    for seed in range(5):
        store, log = Slow(random.Random(seed)), site(seed)
        assert await count_again(store, log, FixedCatalog(traffic_catalog())) == 600
        assert store.begun == store.ended
        orders.append(store.begun)
    first, second, third = log.log
    assert orders[0][:3] == [(first, 0), (second, 0), (first, 20)]
    assert orders[0][-1][0] == third
    assert all(order == orders[0] for order in orders)


async def test_what_was_counted_beyond_an_end_takes_nothing_from_what_is_told_to_be_left() -> None:
    """A rebuild that is compared counts on to where the shown generation stands: at some positions it is further."""
    log, store, told = site(1), MemoryCounters(), list[RecountProgress]()
    catalog = FixedCatalog(traffic_catalog())
    ahead, behind, _ = log.log
    assert await count_again(store, log, catalog, ends={ahead: 200, behind: 100}, told=told) == 300
    told.clear()
    assert await count_again(store, log, catalog, ends={ahead: 100, behind: 200}, told=told) == 100
    assert {one.total for one in told} == {100}
    assert told[-1].done == 100


async def test_while_a_batch_is_applied_the_next_one_is_folded() -> None:
    """The store applies the first one only when the catalog was asked for the second one."""
    asked, reached = asyncio.Event(), 0

    class Watched(FixedCatalog):
        async def reach(self, received_at: int) -> None:
            nonlocal reached
            await super().reach(received_at)
            reached += 1
            if reached > 1:
                asked.set()

    class Waiting(MemoryCounters):
        async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
            await asked.wait()
            return await super().apply(batch)

    async with asyncio.timeout(30):
        assert await count_again(Waiting(), site(1), Watched(traffic_catalog())) == 600


@pytest.mark.parametrize(
    ("offsets", "parts"),
    [([], [(3, 9)]), ([3, 9, 12, 0], [(3, 9)]), ([7, 5, 5], [(3, 5), (5, 7), (7, 9)]), ([4], [(3, 4), (4, 9)])],
)
def test_a_batch_is_split_at_the_offsets_that_lie_within_it(offsets: list[int], parts: list[tuple[int, int]]) -> None:
    """At offset 4 lies no record."""
    some = [record for record in records([b"x"] * 6, 3) if record.offset != 4]
    found = list(split(batch(some), offsets))
    assert [(part.start, part.next_offset) for part in found] == parts
    assert [record for part in found for record in part.records] == some
    assert all(part.start <= record.offset < part.next_offset for part in found for record in part.records)
