"""The write path under faults, in one process: counts are a function of the log, whatever happens between."""

from __future__ import annotations

import asyncio
import copy
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.catalog import EMPTY, Catalog
from app.domain.increments import Increments, Position
from app.errors import StoreUnavailable
from app.proving import FixedCatalog
from app.stores.memory import MemoryCounters
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import NOW, POSITION, RULES, LogRecord, batch, batches, catalog, event, records
from tests.faults.in_memory import FlakyCounters, Letters, World, log_of

STEPS = ("fold", "dead_letters", "apply", "applied")


class _CrashError(BaseException):
    """Not an Exception: like SIGKILL, nothing may catch it."""


class CrashAt:
    """A hook that dies at the n-th time it comes to a step."""

    def __init__(self, step: str, time: int) -> None:
        self._step, self._left = step, time

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left < 0:
                raise _CrashError


async def test_the_tracker_agrees_with_the_independent_count() -> None:
    world = World(log_of(1, 3000))
    await world.read(world.tracker())
    assert world.differences() == []
    assert world.letters.missing_from(world.log) == []
    assert len(world.letters.sent) == len(set(world.letters.sent))


async def test_a_count_that_is_off_by_one_is_noticed() -> None:
    world = World(log_of(1, 300))
    await world.read(world.tracker())
    owners = world.counters._stripes[0].counters
    for owner in ("g:shop-goal-0", "c:docs-cg-1", "g:app-goal-1"):
        owners[owner]["n"] += 1
        assert len(world.differences()) == 1
        owners[owner]["n"] -= 1
    assert world.differences() == []


@pytest.mark.parametrize("fault", ["before", "after", "twin", "rollback", "missing"])
@pytest.mark.parametrize("when", [0, 1, 5, 14])
async def test_one_fault_of_the_store_changes_no_count(fault: str, when: int) -> None:
    world = World(log_of(2, 600), [""] * when + [fault])
    await world.read(world.tracker())
    assert world.differences() == []
    assert world.letters.missing_from(world.log) == []


def newest(world: World) -> dict[str, int]:
    return {owner: own["last"] for owner, own in world.counters.owners().items() if "last" in own}


@pytest.mark.parametrize("when", [4, 9, 14, 19])
async def test_a_store_that_lost_writes_learns_of_the_newest_conversions_again(when: int) -> None:
    log = log_of(2, 600)
    undisturbed, disturbed = World(log), World(log, [""] * when + ["rollback"])
    for world in (undisturbed, disturbed):
        await world.read(world.tracker())
    assert newest(undisturbed) == newest(disturbed) != {}


@pytest.mark.parametrize("when", [5, 14, 23])
async def test_a_stripe_that_goes_back_alone_is_counted_again_alone(when: int) -> None:
    world = World(log_of(2, 600), [""] * when + ["stripe"], stripes=3)
    await world.read(world.tracker())
    assert world.differences() == []


async def test_a_store_that_lost_writes_is_noticed_without_a_batch() -> None:
    world = World(log_of(4, 200))
    tracker = world.tracker()
    assert not await tracker.has_gone_back()
    await tracker.assign(list(world.log))
    before = copy.deepcopy(world.counters)
    await world.read(tracker)
    assert not await tracker.has_gone_back()
    world.store.inner = before
    assert await tracker.has_gone_back()
    await tracker.assign_again()
    assert not await tracker.has_gone_back()


@pytest.mark.parametrize("seed", range(12))
async def test_many_faults_of_the_store_change_no_count(seed: int) -> None:
    chance = random.Random(seed)
    faults = [chance.choice(["", "", "before", "after", "twin", "rollback"]) for _ in range(80)]
    faults[chance.randrange(80)] = "missing"
    world = World(log_of(seed, 600), faults)
    await world.read(world.tracker(), size=chance.choice([1, 7, 30]))
    assert world.differences() == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("size", "times"), [(1, (0, 150, 299)), (25, (0, 6, 11)), (1000, (0, 1, 2))])
async def test_a_crash_at_any_step_of_any_batch_changes_no_count(step: str, size: int, times: tuple[int, ...]) -> None:
    world = World(log_of(3, 300, poison=0.6))
    for time in times:
        try:
            await world.read(world.tracker(CrashAt(step, time)), size)
        except _CrashError:
            continue
    await world.read(world.tracker(), size)
    assert world.differences() == []
    assert world.letters.missing_from(world.log) == []


@pytest.mark.parametrize("step", STEPS)
async def test_the_crash_hook_is_called_at_every_step(step: str) -> None:
    world = World(log_of(3, 30, poison=0.6))
    with pytest.raises(_CrashError):
        await world.read(world.tracker(CrashAt(step, 0)))


@pytest.mark.parametrize("size", [1, 2, 13, 100, 10_000])
async def test_splitting_the_log_differently_gives_the_same_counters(size: int) -> None:
    log = log_of(4, 500, partitions=1)
    wanted = World(log)
    await wanted.read(wanted.tracker(), 37)
    world = World(log)
    await world.read(world.tracker(), size)
    assert world.counters.owners() == wanted.counters.owners()
    assert world.counters.accounting() == wanted.counters.accounting()


IDENTS = st.lists(st.integers(0, 8), min_size=1, max_size=24)


@settings(max_examples=60, deadline=None)
@given(IDENTS, st.randoms(use_true_random=False), st.integers(1, 5))
async def test_any_order_and_any_repetition_of_events_counts_the_same(
    idents: list[int], chance: random.Random, size: int
) -> None:
    values = [event(str(ident), timestamp=NOW - ident * 400_000, data={"amount": ident}) for ident in idents]
    shuffled = values + chance.sample(values, len(values) // 2)
    chance.shuffle(shuffled)
    assert await _owners(records(values), 3) == await _owners(records(shuffled), size)


async def _owners(log: list[LogRecord], size: int) -> object:
    counters, tracker = await _tracking()
    for one in batches(log, size):
        await tracker.track(one)
    return counters.owners()


async def _tracking(letters: Letters | None = None) -> tuple[MemoryCounters, Tracker]:
    world = World({POSITION: []})
    counters = world.counters

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(counters, RULES)

    tracker = Tracker(open_generation, FixedCatalog(catalog()), letters or Letters(), retry_wait_seconds=0.001)
    await tracker.assign([POSITION])
    return counters, tracker


# -- batches that do not begin where the counters end


async def test_a_hole_is_not_counted_but_read_again() -> None:
    counters, tracker = await _tracking()
    log = records([event(str(n)) for n in range(10)])
    await tracker.track(batch(log[:3]))
    outcome = await tracker.track(batch(log[5:]))
    assert (outcome.seek_to, outcome.checkpoint, outcome.counted) == (3, 3, 0)
    assert counters.owner("g:goal")["n"] == 3
    assert (await tracker.track(batch(log[3:]))).counted == 7


async def test_what_was_counted_is_not_counted_again() -> None:
    counters, tracker = await _tracking()
    log = records([event() for _ in range(10)])
    await tracker.track(batch(log[:6]))
    assert (await tracker.track(batch(log[:6]))).counted == 0
    assert (await tracker.track(batch(log[2:10]))).counted == 4
    assert counters.owner("g:goal")["n"] == 10


async def test_offsets_without_a_record_are_no_hole() -> None:
    counters, tracker = await _tracking()
    log = [LogRecord(offset, event()) for offset in (4, 9)]
    assert (await tracker.track(Batch(POSITION, 0, 12, log))).checkpoint == 12
    assert (await tracker.track(Batch(POSITION, 12, 20, ()))).checkpoint == 20
    assert counters.owner("g:goal")["n"] == 2


async def test_a_batch_of_a_partition_that_is_not_assigned_changes_nothing() -> None:
    counters, tracker = await _tracking()
    other = Position("events", 1, "topic-id")
    outcome = await tracker.track(batch(records([event()]), position=other))
    assert (outcome.counted, outcome.seek_to) == (0, None)
    assert counters.owners() == {}


async def test_another_workers_progress_is_adopted() -> None:
    world = World({POSITION: records([event() for _ in range(10)])})
    first, second = world.tracker(), world.tracker()
    await first.assign([POSITION])
    await second.assign([POSITION])
    log = world.log[POSITION]
    await first.track(batch(log[:4]))
    await second.track(batch(log[:7]))
    assert (await first.track(batch(log[4:10]))).checkpoint == 10
    # The second one wakes up with what it had read before: it is fenced.
    await second.track(batch(log[7:10]))
    assert second.checkpoint(POSITION) == 10
    assert world.counters.accounting()[1][f"{POSITION.name}|received"] == 10


async def test_a_checkpoint_moves_over_what_the_log_lost() -> None:
    counters, tracker = await _tracking()
    await tracker.track(batch(records([event() for _ in range(5)])))
    await tracker.skip(POSITION, 100)
    assert (await counters.checkpoints([POSITION])) == [[100]]
    assert (await tracker.track(batch(records([event()], 100)))).counted == 1


# -- dead letters


async def test_dead_letters_are_written_before_the_checkpoint_moves() -> None:
    world = World(log_of(5, 200, poison=0.5))
    checkpoints = []

    def look(position: Position, letters: object) -> None:
        checkpoints.append(world.counters._stripes[0].checkpoints.get(position.name, 0))

    world.letters.before_send = look
    await world.read(world.tracker(), size=1)
    assert world.letters.missing_from(world.log) == []
    assert [offset for _, offset, _ in world.letters.sent] == checkpoints


async def test_while_dead_letters_cannot_be_written_the_partition_waits() -> None:
    world = World(log_of(6, 200, poison=0.3), letters=Letters(failures=25))
    waiting = []

    def look(position: Position, letters: object) -> None:
        waiting.append(dict(world.counters._stripes[0].checkpoints))

    world.letters.before_send = look
    await world.read(world.tracker())
    assert all(checkpoints == waiting[0] for checkpoints in waiting[:26])
    assert world.differences() == []
    assert world.letters.missing_from(world.log) == []


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
async def test_neighbours_of_poison_are_exact(share: float) -> None:
    world = World(log_of(7, 600, poison=share))
    await world.read(world.tracker())
    assert world.differences() == []
    assert world.letters.missing_from(world.log) == []


async def test_a_store_that_never_answered_is_asked_until_it_does() -> None:
    world = World(log_of(8, 60), ["before"] * 30)
    assert isinstance(world.store, FlakyCounters)
    await world.read(world.tracker())
    assert world.differences() == []


async def test_a_stripe_that_is_beyond_a_gap_is_not_counted_again() -> None:
    counters = MemoryCounters(stripes=2)

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(counters, RULES)

    await counters.apply([Increments(POSITION, stripe, 0, offset, 1) for stripe, offset in ((0, 30), (1, 70))])
    tracker = Tracker(open_generation, FixedCatalog(catalog()), Letters())
    await tracker.assign([POSITION])
    assert await tracker.skip(POSITION, 60)
    assert await counters.checkpoints([POSITION]) == [[60, 70]]


async def test_of_a_cut_log_each_stripe_goes_back_to_where_it_has_to() -> None:
    counters = MemoryCounters(stripes=3)

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(counters, RULES)

    await counters.apply([Increments(POSITION, stripe, 0, offset, 1) for stripe, offset in enumerate((60, 70, 90))])
    tracker = Tracker(open_generation, FixedCatalog(catalog()), Letters())
    await tracker.assign([POSITION])
    assert not await tracker.go_back(POSITION, [60, 70, 80], [50, 50, 50])
    assert await tracker.go_back(POSITION, [60, 70, 90], [60, 50, 90])
    assert await counters.checkpoints([POSITION]) == [[60, 50, 90]]


async def test_a_skip_of_what_was_taken_away_skips_nothing() -> None:
    counters, tracker = await _tracking()
    await tracker.assign([])
    assert not await tracker.skip(POSITION, 60)
    assert await counters.checkpoints([POSITION]) == [[0]]


async def test_a_skip_from_a_checkpoint_that_moved_meanwhile_skips_nothing() -> None:
    counters, tracker = await _tracking()
    await counters.apply([Increments(POSITION, 0, 0, 5, 1)])
    assert not await tracker.skip(POSITION, 60)
    assert tracker.checkpoint(POSITION) == 5


async def test_counting_again_after_a_loss_does_not_replace_the_positions_of_a_rebalance() -> None:
    world = World({POSITION: records([event() for _ in range(10)])}, ["missing"])
    tracker = world.tracker()
    await tracker.assign([POSITION])
    other = Position("events", 1, "topic-id")
    rebalance: list[asyncio.Future[object]] = []

    async def rebalance_meanwhile() -> None:
        if not rebalance:
            rebalance.append(asyncio.ensure_future(tracker.assign([other])))
            await asyncio.sleep(0.01)

    world.store.before_checkpoints = rebalance_meanwhile
    outcome = await tracker.track(batch(world.log[POSITION]))
    await rebalance[0]
    assert outcome.recount
    assert tracker.checkpoint(other) == 0
    assert tracker.checkpoint(POSITION) is None


# -- what a tracker knows of its own counting


async def test_how_far_it_is_complete_goes_back_with_the_counters() -> None:
    world = World(log_of(2, 200))
    tracker = world.tracker()
    await tracker.assign(list(world.log))
    before = copy.deepcopy(world.counters)
    await world.read(tracker)
    assert all(tracker.watermark(position) for position in world.log)
    await tracker.assign_again()
    assert all(tracker.watermark(position) for position in world.log)
    world.store.inner = before
    await tracker.assign_again()
    assert not any(tracker.watermark(position) for position in world.log)


async def test_how_far_it_is_complete_is_of_the_counters_that_it_counts_into() -> None:
    world = World(log_of(2, 200))
    tracker = world.tracker()
    await world.read(tracker)
    tracker.forget()
    await tracker.assign_again()
    assert not any(tracker.watermark(position) for position in world.log)


async def test_a_batch_that_finds_the_counters_gone_back_makes_nothing_complete() -> None:
    counters, tracker = await _tracking()
    log = records([event(str(n)) for n in range(9)])
    empty = copy.deepcopy(counters)
    await tracker.track(batch(log[:6]))
    assert tracker.watermark(POSITION)
    counters.__dict__.update(empty.__dict__)
    assert (await tracker.track(batch(log[6:]))).seek_to == 0
    assert not tracker.watermark(POSITION)


class _LateCatalog(FixedCatalog):
    """The database does not answer a few times, and there is no catalog from before."""

    def __init__(self, known: Catalog, failures: int) -> None:
        super().__init__(EMPTY)
        self._known, self._failures = known, failures

    async def reach(self, received_at: int) -> None:
        self._failures -= 1
        if self._failures >= 0:
            raise StoreUnavailable("sql", "away")
        self.current = self._known


async def test_without_any_definitions_nothing_is_rejected_but_waited() -> None:
    counters, letters = MemoryCounters(), Letters()

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(counters, RULES)

    tracker = Tracker(open_generation, _LateCatalog(catalog(), 3), letters, retry_wait_seconds=0.001)
    await tracker.assign([POSITION])
    outcome = await tracker.track(batch(records([event() for _ in range(3)])))
    assert (outcome.counted, letters.sent) == (3, [])
