"""Where reading starts, and what is said to be lost: by the checkpoint, never by what was read ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import pytest
from faust.types import TP

from app.domain.catalog import BROKERS_DIFFER_MS
from app.domain.increments import Increments, Position
from app.domain.loss import loss_of
from app.domain.witness import Witness
from app.proving import FixedCatalog
from app.recounting import NoDeadLetters
from app.stores.memory import MemoryCounters
from app.streams.leader_epochs import LeaderEpochs
from app.streams.partitions import TrackedPartitions
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import RULES, catalog, created

ZERO, ONE = TP("events", 0), TP("events", 1)


class World:
    """A topic of two partitions, its counters, and what was reported lost."""

    def __init__(self) -> None:
        self.incarnation = "first"
        self.counters = MemoryCounters()
        self.told: list[tuple[Mapping[str, object], bool]] = []
        self.losses: dict[object, Mapping[str, object]] = {}
        """By where they begin: what is told last, and was not taken back."""
        self.received: dict[int, int] = {}
        """Offset -> when its message was received."""
        self.cuts: dict[int, int] = {}
        """Epoch -> where messages of later ones begin."""
        self.brought_back_at: int | None = None
        """Where the log ended that was brought back in place of the first."""
        self.witnesses: dict[str, Witness] = {}
        """Position name -> what was told before."""
        self.when_told: Callable[[], Awaitable[None]] | None = None
        self.catalog = FixedCatalog(catalog())
        self.tracker = Tracker(self._open, self.catalog, NoDeadLetters())
        self.partitions = TrackedPartitions(
            self.tracker,
            self._incarnation_of,
            self._report,
            self._received_at,
            self._find_cut,
            self._told_witnesses,
            self._tell_witness,
        )

    async def _open(self) -> OpenedGeneration:
        return OpenedGeneration(self.counters, RULES)

    async def _incarnation_of(self, topic: str) -> str:
        return self.incarnation

    async def _received_at(self, position: Position, offset: int) -> int | None:
        return self.received.get(offset)

    async def _find_cut(self, position: Position, counted: int, witness: Witness) -> int | None:
        if self.brought_back_at is not None and not witness.line:
            return self.brought_back_at
        begin = self.cuts.get(witness.epoch, counted)
        return begin if begin < counted else None

    async def _tell_witness(self, position: Position, stripe: int, known: Witness | None, witness: Witness) -> bool:
        if self.when_told is not None:
            act, self.when_told = self.when_told, None
            await act()
        present = self.witnesses.get(position.name)
        if (present and present.epoch) != (known and known.epoch):
            return False
        self.witnesses[position.name] = witness
        return True

    async def _told_witnesses(self, positions: Sequence[Position]) -> Sequence[Mapping[str, Witness]]:
        del positions
        return [self.witnesses]

    async def _report(self, loss: Mapping[str, object], is_lost: bool) -> None:
        if self.told[-1:] != [(loss, is_lost)]:
            self.told.append((loss, is_lost))
        if is_lost:
            self.losses[loss["from"]] = loss
        elif self.losses.get(loss["from"]) == loss:
            del self.losses[loss["from"]]
        if self.when_told is not None:
            act, self.when_told = self.when_told, None
            await act()

    @property
    def position(self) -> Position:
        """The first partition's."""
        return Position("events", 0, self.incarnation)

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


OLD, NEW = Witness(3, 290, 0), Witness(4, 520, 0)
OF_OLD, OF_NEW = LeaderEpochs(3, OLD), LeaderEpochs(4, NEW)


async def test_a_log_that_was_cut_below_what_was_counted_is_counted_from_there_once_it_is_told(world: World) -> None:
    assert await world.partitions.heed(ZERO, 300, OF_OLD) is None
    world.cuts[3] = 260
    assert await world.partitions.heed(ZERO, 300, OF_NEW) == 260
    ((loss, is_lost),) = world.told
    assert (loss["from"], loss["to"], loss["number"], is_lost) == (260, 300, 40, True)
    assert await world.checkpoint() == 260
    # It was cut where it is read now, and nothing more is lost.
    assert world.witnesses == {world.position.name: OLD}
    assert await world.partitions.heed(ZERO, 260, OF_NEW) is None
    assert world.witnesses == {world.position.name: NEW}
    assert len(world.told) == 1


async def test_brokers_that_were_lost_sight_of_may_have_another_log_whose_epochs_are_no_later(world: World) -> None:
    assert await world.partitions.heed(ZERO, 300, OF_OLD) is None
    world.brought_back_at = 260
    assert await world.partitions.heed(ZERO, 300, OF_OLD) is None, "they are the same still"
    back = LeaderEpochs(3, Witness(3, 320, 0), doubts=1)
    assert await world.partitions.heed(ZERO, 300, back) == 260
    assert [loss["number"] for loss, _ in world.told] == [40]
    assert await world.partitions.heed(ZERO, 260, back) is None
    assert world.witnesses == {world.position.name: Witness(3, 320, 0, line=1)}


async def test_another_leader_of_the_same_log_is_no_cut(world: World) -> None:
    for epoch in range(3, 6):
        assert await world.partitions.heed(ZERO, 300, LeaderEpochs(epoch, Witness(epoch, 300 + epoch, 0))) is None
    assert (world.partitions.witnesses, world.told) == ({world.position: [Witness(5, 305, 0)]}, [])


async def test_what_was_told_before_bears_witness_and_what_is_read_again_does_not(world: World) -> None:
    world.witnesses = {world.position.name: OLD}
    await world.partitions.starts([ZERO, ONE])
    assert await world.partitions.heed(ZERO, 300, LeaderEpochs(2, Witness(2, 200, 0))) is None
    assert world.partitions.witnesses == {world.position: [OLD]}
    world.cuts = {3: 280}
    assert await world.partitions.heed(ZERO, 300, OF_NEW) == 280


async def test_a_later_epoch_is_told_before_anything_of_it_is_counted(world: World) -> None:
    """Or who takes over finds it below the checkpoint, takes the log for cut, and counts it twice."""
    world.witnesses, world.cuts = {world.position.name: OLD}, {3: 280}
    await world.partitions.starts([ZERO])
    assert await world.partitions.heed(ZERO, 300, OF_NEW) == 280
    assert await world.partitions.heed(ZERO, 280, OF_NEW) is None
    await world.count_up_to(350)
    after_a_kill = World()
    after_a_kill.counters, after_a_kill.witnesses, after_a_kill.cuts = world.counters, world.witnesses, world.cuts
    assert await after_a_kill.partitions.starts([ZERO]) == {ZERO: 350}
    assert await after_a_kill.partitions.heed(ZERO, 350, OF_NEW) is None
    assert after_a_kill.told == []


async def test_who_was_frozen_while_another_worker_counted_from_a_cut_takes_nothing_for_lost(world: World) -> None:
    world.witnesses, world.cuts = {world.position.name: OLD}, {3: 280}
    await world.partitions.starts([ZERO])
    await world.count_up_to(280)
    world.witnesses = {world.position.name: NEW}
    await world.count_up_to(350)
    assert await world.partitions.heed(ZERO, 300, OF_NEW) == 350
    assert await world.partitions.heed(ZERO, 350, OF_NEW) is None
    assert world.told == []


async def test_of_two_workers_that_meet_a_leader_one_reads_again(world: World) -> None:
    async def tell() -> None:
        world.witnesses = {world.position.name: NEW}

    world.when_told = tell
    assert await world.partitions.heed(ZERO, 300, OF_NEW) == 300
    assert await world.partitions.heed(ZERO, 300, OF_NEW) is None


async def test_counters_that_went_back_before_a_cut_lack_what_was_written_there_since(world: World) -> None:
    world.witnesses = {world.position.name: NEW}
    await world.partitions.starts([ZERO])
    # Redis comes back as it was saved before the cut, at which an earlier log had been counted up to 290.
    await world.count_up_to(290)
    world.witnesses, world.cuts = {world.position.name: OLD}, {3: 280}
    outcome = await world.tracker.track(Batch(world.position, 300, 301, []))
    assert outcome.seek_to == 290
    assert await world.partitions.heed(ZERO, 290, OF_NEW) == 280
    assert [loss["number"] for loss, _ in world.told] == [10]


async def test_of_another_generation_witnesses_are_told_anew(world: World) -> None:
    await world.partitions.heed(ZERO, 300, OF_OLD)
    await world.count_up_to(0)
    world.witnesses = {}
    await world.tracker.assign_again()
    assert await world.partitions.heed(ZERO, 0, OF_OLD) is None
    assert world.witnesses == {world.position.name: OLD}


async def test_while_a_batch_of_the_log_as_it_was_is_counted_no_leader_passes(world: World) -> None:
    world.witnesses = {world.position.name: OLD}
    await world.partitions.starts([ZERO])
    lock = world.tracker.backfills.lock(world.position)
    await lock.acquire()
    meeting = asyncio.create_task(world.partitions.heed(ZERO, 300, LeaderEpochs(3, NEW)))
    await asyncio.sleep(0)
    await world.count_up_to(320)
    lock.release()
    assert await meeting == 320
    assert world.witnesses == {world.position.name: OLD}


async def test_nothing_bears_witness_of_a_topic_that_was_created_again(world: World) -> None:
    await world.partitions.heed(ZERO, 300, OF_OLD)
    world.cuts[3] = 0
    world.incarnation = "second"
    await world.partitions.restarts(["events"])
    assert await world.partitions.heed(ZERO, 0, LeaderEpochs(4, Witness(4, 10, 0))) is None
    assert world.told == []


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


async def test_what_another_worker_takes_back_is_a_loss_still_of_who_passed_it(world: World) -> None:
    anothers = loss_of(world.position, 300, 340, at=1, received_before=None)

    async def tell_the_same() -> None:
        await world._report(anothers, True)

    world.when_told = tell_the_same
    await world.partitions.lost(ZERO, 300, 340, 900)
    await world._report(anothers, False)
    assert [loss["number"] for loss in world.losses.values()] == [40]


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
