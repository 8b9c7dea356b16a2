"""Where reading starts, and what is said to be lost: by the checkpoint, never by what was read ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import pytest
from faust.types import TP

from app.domain.catalog import BROKERS_DIFFER_MS
from app.domain.increments import Increments, Position
from app.proving import FixedCatalog
from app.recounting import NoDeadLetters
from app.stores.memory import MemoryCounters
from app.streams.partitions import TrackedPartitions
from app.tracking import Counting, Tracker
from tests.builders import RULES, catalog, created

ZERO, ONE = TP("events", 0), TP("events", 1)


class World:
    """A topic of two partitions, its counters, and what was reported lost."""

    def __init__(self) -> None:
        self.incarnation = "first"
        self.counters = MemoryCounters()
        self.told: list[tuple[Mapping[str, object], bool]] = []
        self.received: dict[int, int] = {}
        """Offset -> when its message was received."""
        self.when_told: Callable[[], Awaitable[None]] | None = None
        self.catalog = FixedCatalog(catalog())
        self.tracker = Tracker(self._open, self.catalog, NoDeadLetters())
        self.partitions = TrackedPartitions(self.tracker, self._incarnation_of, self._report, self._received_at)

    async def _open(self) -> Counting:
        return Counting(self.counters, RULES)

    async def _incarnation_of(self, topic: str) -> str:
        return self.incarnation

    async def _received_at(self, position: Position, offset: int) -> int | None:
        return self.received.get(offset)

    async def _report(self, loss: Mapping[str, object], is_lost: bool) -> None:
        self.told.append((loss, is_lost))
        if self.when_told is not None:
            act, self.when_told = self.when_told, None
            await act()

    async def count_up_to(self, offset: int, partition: int = 0) -> None:
        position = Position("events", partition, self.incarnation)
        ((stored,),) = await self.counters.checkpoints([position])
        await self.counters.apply([Increments(position, 0, stored, offset, 1)])

    async def checkpoint(self, partition: int = 0) -> int:
        ((stored,),) = await self.counters.checkpoints([Position("events", partition, self.incarnation)])
        return stored


@pytest.fixture
async def world() -> World:
    """Partition 0 was counted up to 300."""
    made = World()
    await made.count_up_to(300)
    await made.partitions.starts([ZERO, ONE])
    return made


async def test_reading_starts_at_the_checkpoints(world: World) -> None:
    assert await world.partitions.starts([ZERO, ONE]) == {ZERO: 300, ONE: 0}
    assert (world.partitions.applied(ZERO), world.partitions.applied(TP("events", 9))) == (300, None)


async def test_what_retention_deleted_is_told_to_the_message(world: World) -> None:
    assert await world.partitions.lost(ZERO, 300, 340, 900) == 340
    ((loss, is_lost),) = world.told
    assert (loss["from"], loss["to"], loss["number"], is_lost) == (300, 340, 40, True)
    assert await world.checkpoint() == 340


async def test_a_loss_says_before_which_moment_the_messages_had_been_received(world: World) -> None:
    world.received[340] = 1_790_000_000_000
    await world.partitions.lost(ZERO, 300, 340, 900)
    await world.partitions.lost(ZERO, 340, 360, 900)
    (known, _), (unknown, _) = world.told
    assert known["before"] == 1_790_000_000_000
    assert unknown["before"] == unknown["at"]


async def test_what_came_before_the_first_project_is_passed_and_no_loss(world: World) -> None:
    world.catalog.current = created(catalog(), 1_790_000_000_000 + BROKERS_DIFFER_MS)
    world.received = {340: 1_789_999_999_999, 350: 1_790_000_000_000}
    assert await world.partitions.lost(ZERO, 300, 340, 900) == 340
    assert (await world.checkpoint(), world.told) == (340, [])
    assert await world.partitions.lost(ZERO, 340, 350, 900) == 350
    assert [loss["from"] for loss, _ in world.told] == [340]


@pytest.mark.parametrize("projects_after_ms", [1, None], ids=["the first one comes later", "there is none"])
async def test_where_there_is_no_project_yet_nothing_is_lost_though_nobody_knows_when_it_came(
    world: World, monkeypatch: pytest.MonkeyPatch, projects_after_ms: int | None
) -> None:
    now = 1_790_000_000_000
    monkeypatch.setattr("app.streams.partitions.time.time", lambda: now / 1000)
    later = None if projects_after_ms is None else now + BROKERS_DIFFER_MS + projects_after_ms
    world.catalog.current = catalog(projects=()) if later is None else created(catalog(), later)
    assert await world.partitions.lost(ONE, 0, 900, 900) == 900
    assert (await world.checkpoint(1), world.told) == (900, [])


async def test_an_empty_partition_whose_messages_may_have_been_a_projects_tells_a_loss(world: World) -> None:
    assert await world.partitions.lost(ONE, 0, 900, 900) == 900
    ((loss, is_lost),) = world.told
    assert (loss["number"], is_lost) == (900, True)


async def test_what_is_taken_away_while_its_loss_is_told_is_left_to_who_has_it_now(world: World) -> None:
    async def take_away() -> None:
        await world.partitions.starts([ONE])

    world.when_told = take_away
    await world.partitions.lost(ZERO, 300, 340, 900)
    assert [is_lost for _, is_lost in world.told] == [True, False]
    assert await world.checkpoint() == 300


async def test_what_a_cut_off_log_lacks_is_told_to_the_message(world: World) -> None:
    assert await world.partitions.lost(ZERO, 300, 0, 250) == 250
    ((loss, _),) = world.told
    assert (loss["from"], loss["to"], loss["number"]) == (250, 300, 50)
    assert await world.checkpoint() == 250


async def test_a_reader_that_is_ahead_is_sent_back_to_the_checkpoint(world: World) -> None:
    assert await world.partitions.lost(ZERO, 500, 600, 900) == 300
    assert world.told == []
    assert await world.checkpoint() == 300


async def test_a_recreated_topic_is_read_from_its_start_and_nothing_is_lost(world: World) -> None:
    world.incarnation = "second"
    assert await world.partitions.lost(ZERO, 300, 0, 20) == 0
    # The reader of another partition comes with what it was reading of the first topic.
    assert await world.partitions.lost(ZERO, 300, 0, 20) == 0
    assert world.told == []


async def test_what_another_worker_counted_or_passed_before_is_no_loss(world: World) -> None:
    await world.count_up_to(320)
    assert await world.partitions.lost(ZERO, 300, 340, 900) == 320
    assert world.told == []


async def test_a_loss_that_another_worker_counted_meanwhile_is_taken_back(world: World) -> None:
    world.when_told = partial(world.count_up_to, 320)
    assert await world.partitions.lost(ZERO, 300, 340, 900) == 320
    assert [is_lost for _, is_lost in world.told] == [True, False]
    assert world.told[0][0] == world.told[1][0]
    assert await world.partitions.lost(ZERO, 320, 340, 900) == 340
    assert world.told[-1][0]["number"] == 20


async def test_a_partition_that_was_revoked_loses_nothing(world: World) -> None:
    await world.partitions.starts([ONE])
    assert await world.partitions.lost(ZERO, 300, 340, 900) == 300
    assert world.told == []


async def test_a_slow_answer_for_earlier_partitions_does_not_replace_those_of_a_rebalance(world: World) -> None:
    may_answer, is_asked = asyncio.Event(), asyncio.Event()

    async def slowly(topic: str) -> str:
        if not is_asked.is_set():
            is_asked.set()
            await may_answer.wait()
        return world.incarnation

    world.partitions._incarnation_of = slowly
    again = asyncio.ensure_future(world.partitions.starts_again())
    await is_asked.wait()
    rebalance = asyncio.ensure_future(world.partitions.starts([ONE]))
    await asyncio.wait([rebalance], timeout=0.05)
    may_answer.set()
    await asyncio.gather(again, rebalance)
    assert list(world.partitions.positions) == [ONE]
    assert world.partitions.applied(ONE) == 0
    assert world.partitions.applied(ZERO) is None
