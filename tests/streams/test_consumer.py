"""What the batch consumer hands on of what it read: all of it, in order, and no gap that it did not see twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.streams import consumer
from app.streams.batches import RecordBatch
from app.streams.consumer import BatchConsumer
from app.streams.consumer_thread import Read

ZERO, ONE = TP("events", 0), TP("events", 1)


class Reader(BatchConsumer):
    """A consumer without Faust: it keeps what it hands on, and where it sought."""

    def __init__(self) -> None:
        self.batches: list[RecordBatch] = []
        self.sought: list[int] = []
        self._position = {ZERO: 0}
        self._seeks = {ZERO: 0}
        self._read_offset = {}
        self._gap_seen = {}
        self.while_handing_on: Any = lambda: None
        self.callback = self._keep
        self.suspend_flow = asyncio.Event()
        flow_control = SimpleNamespace(is_active=lambda: True)
        self.app = cast(Any, SimpleNamespace(consumer_generation_id=1, flow_control=flow_control, topics=[]))
        self.seeks_done: dict[TP, int] = {ZERO: 0, ONE: 0}
        self._thread = cast(Any, SimpleNamespace(seek_soon=self._note_seek))

    def _note_seek(self, tp: TP, offset: int, number: int) -> None:
        self.sought.append(offset)
        self.seeks_done[tp] = number

    async def _keep(self, message: Any) -> None:
        self.batches.append(message.value)
        self.while_handing_on()

    async def wait_first(self, *waited: Any, **_: Any) -> Any:
        waited[1].close()
        await asyncio.create_task(waited[0])

    async def read(self, *offsets: int) -> None:
        await self._hand_on(ZERO, [SimpleNamespace(offset=one, timestamp=0, timestamp_type=0) for one in offsets])

    def handed_on(self) -> list[tuple[int, int, int]]:
        """(start, next offset, number of records) of each batch."""
        return [(one.start, one.next_offset, len(one.records)) for one in self.batches]


@pytest.fixture
async def reader() -> Reader:
    return Reader()


async def test_each_batch_begins_where_the_one_before_it_ended(reader: Reader) -> None:
    await reader.read(0, 1, 2)
    await reader.read(3, 4)
    assert reader.handed_on() == [(0, 3, 3), (3, 5, 2)]


async def test_what_was_handed_on_is_not_handed_on_again(reader: Reader) -> None:
    await reader.read(0, 1, 2)
    await reader.read(0, 1)
    await reader.read(1, 2, 3)
    assert reader.handed_on() == [(0, 3, 3), (3, 4, 1)]


async def test_a_gap_is_read_once_more_before_it_is_believed(reader: Reader) -> None:
    await reader.read(0, 1)
    await reader.read(5, 6)
    assert (reader.handed_on(), reader.sought) == ([(0, 2, 2)], [2])
    await reader.read(2, 3, 4, 5, 6)  # it was a race: the log has them all
    assert reader.handed_on()[1:] == [(2, 7, 5)]


async def test_a_gap_in_the_log_itself_is_covered_when_it_was_seen_twice(reader: Reader) -> None:
    await reader.read(4, 9)
    await reader.read(4, 9)
    assert (reader.handed_on(), reader.sought) == ([(0, 10, 2)], [0])


async def test_a_gap_that_was_none_is_not_believed_the_next_time(reader: Reader) -> None:
    await reader.read(5, 6)
    await reader.read(0, 1, 2, 3, 4, 5, 6)
    reader.rewind(ZERO, 0)
    await reader.read(5, 6)
    assert (reader.handed_on(), reader.sought) == ([(0, 7, 7)], [0, 0, 0])


async def test_a_seek_meanwhile_is_not_undone_by_the_batch_that_was_handed_on(reader: Reader) -> None:
    reader.while_handing_on = lambda: reader.rewind(ZERO, 1)
    await reader.read(0, 1, 2)
    reader.while_handing_on = lambda: None
    await reader.read(1, 2)
    assert reader.handed_on() == [(0, 3, 3), (1, 3, 2)]


@pytest.mark.parametrize(("is_full", "is_active"), [(False, True), (True, True), (False, False)])
async def test_only_where_a_stream_may_keep_it_waiting_a_rebalance_is_watched_for(
    reader: Reader, is_full: bool, is_active: bool
) -> None:
    """A stream whose buffer is full takes nothing before the rebalance has ended, which waits for this one to stop."""
    watched: list[bool] = []

    async def wait_first(*waited: Any, **_: Any) -> None:
        for each in waited:
            each.close()
        watched.append(True)

    app: Any = reader.app
    app.flow_control.is_active = lambda: is_active
    app.topics.append(SimpleNamespace(queue=SimpleNamespace(full=lambda: is_full)))
    reader.__dict__["wait_first"] = wait_first
    await reader.read(0, 1)
    assert (len(watched), len(reader.batches)) == ((0, 1) if is_active and not is_full else (1, 0))


async def test_a_partition_that_was_revoked_is_not_handed_on(reader: Reader) -> None:
    reader._position.clear()
    await reader.read(0, 1)
    assert reader.handed_on() == []


async def test_a_partition_that_is_revoked_while_its_loss_is_told_is_not_sought(reader: Reader) -> None:
    async def lost(*_: Any) -> int:
        reader._position.clear()
        return 340

    async def known(*_: TP) -> dict[TP, int]:
        return {ZERO: 340}

    reader.partitions = cast(Any, SimpleNamespace(lost=lost))
    reader.earliest_offsets = reader.highwaters = known  # type: ignore[method-assign]
    await reader._recover_positions(OffsetOutOfRangeError({ZERO: 0}))
    assert (reader._position, reader.sought) == ({}, [])


async def test_where_a_loss_tells_that_counters_went_back_the_others_are_read_again_too() -> None:
    """Nothing else would make them: what is published to them next may come tomorrow."""
    reader = Reader()
    reader._position, reader._seeks = {ZERO: 5, ONE: 7}, {ZERO: 1, ONE: 1}

    async def lost(*_: Any) -> int:
        return 9

    async def begins_at_nine(*_: TP) -> dict[TP, int]:
        return {ZERO: 9}

    reader.partitions = cast(Any, SimpleNamespace(lost=lost, applied={ZERO: 9, ONE: 3}.get))
    reader.earliest_offsets = reader.highwaters = begins_at_nine  # type: ignore[method-assign]
    await reader._recover_positions(OffsetOutOfRangeError({ZERO: 5}))
    assert reader._position == {ZERO: 9, ONE: 3}


class Draining(Reader):
    """One whose reads are answered by hand: each takes the next of `answers`, offsets by partition."""

    consumer_stopped_errors = ()

    def __init__(self) -> None:
        super().__init__()
        self._stopped = cast(Any, asyncio.Event())
        self._settled = {"events": 0}
        self._active_partitions = {ZERO, ONE}
        self._position[ONE] = self._seeks[ONE] = 0
        self.flow_active = True
        self._thread.doubts = cast(Any, SimpleNamespace(number=0))
        self.reads = 0
        self.answers: list[dict[TP, list[int]]] = []
        self.is_drained = asyncio.Event()
        self.before_answering: Callable[[], Awaitable[None]] = partial(asyncio.sleep, 0)

    async def _getmany(self, *_: Any, **__: Any) -> Any:
        self.reads += 1
        number = self.reads
        if not self.answers:
            self.is_drained.set()
            await asyncio.Event().wait()
        if number > 1:
            await self.before_answering()
        runs = {
            tp: [SimpleNamespace(offset=one, timestamp=number, timestamp_type=0) for one in offsets]
            for tp, offsets in self.answers.pop(0).items()
        }
        return Read(runs, dict(self.seeks_done))

    async def wait(self, *_: Any, **__: Any) -> Any:
        self.is_drained.set()
        await asyncio.Event().wait()

    async def drain(self, *answers: dict[TP, list[int]]) -> None:
        """Until all are handed on or dropped."""
        self.answers = [*answers, {}]  # which is read while the last one is handed on
        draining = asyncio.create_task(self._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))
        await self.is_drained.wait()
        draining.cancel()
        await asyncio.wait([draining])


@pytest.fixture
def everything_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "LITTLE", 0)


@pytest.mark.usefixtures("everything_is_much")
async def test_the_next_read_is_asked_for_before_a_long_run_is_handed_on() -> None:
    """Or each run of records would wait for the next one to be fetched and unpacked."""
    reader = Draining()
    asked: list[int] = []
    reader.while_handing_on = lambda: asked.append(reader.reads)
    await reader.drain({ZERO: [0, 1]}, {ZERO: [2, 3]})
    assert reader.handed_on() == [(0, 2, 2), (2, 4, 2)]
    assert asked == [2, 3]


async def test_a_short_run_is_on_its_way_to_redis_before_the_next_read_is_asked_for() -> None:
    """Or the thread that reads would take the interpreter's lock from it: an operator waits for that one event."""
    reader, asked, under_way = Draining(), list[int](), set[asyncio.Task[None]]()

    async def count() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        asked.append(reader.reads)

    reader.while_handing_on = lambda: under_way.add(asyncio.create_task(count()))
    await reader.drain({ZERO: [0, 1]}, {ZERO: [2, 3]})
    assert reader.handed_on() == [(0, 2, 2), (2, 4, 2)]
    assert asked == [1, 2]


@pytest.mark.usefixtures("everything_is_much")
async def test_what_was_taken_before_a_seek_is_dropped() -> None:
    """Two reads from before a seek would confirm a gap that the log does not have."""
    reader = Draining()
    reader._position[ZERO] = 5
    is_back = asyncio.Event()

    def go_back() -> None:
        reader.while_handing_on = lambda: None
        done = dict(reader.seeks_done)
        reader.rewind(ZERO, 0)
        reader.seeks_done = done | {ZERO: 0}  # not done yet
        is_back.set()

    async def after_that() -> None:
        if reader.reads == 3:
            reader.seeks_done[ZERO] = reader.seeks(ZERO)

    reader.while_handing_on, reader.before_answering = go_back, after_that
    await reader.drain({ONE: [0], ZERO: [5, 6]}, {ZERO: [5, 6]}, {ZERO: [0, 1, 2, 3, 4, 5, 6]})
    assert reader.handed_on() == [(0, 1, 1), (0, 7, 7)]
    assert reader.sought == [0]


@pytest.mark.usefixtures("everything_is_much")
async def test_what_is_taken_after_a_seek_by_a_read_that_was_asked_for_before_it_is_handed_on() -> None:
    """Nobody would read it again: the log has nothing more, and so nothing tells that it is missing."""
    reader = Draining()
    is_back = asyncio.Event()

    def go_back() -> None:
        reader.while_handing_on = lambda: None
        reader.rewind(ZERO, 0)
        is_back.set()

    async def after_that() -> None:
        await is_back.wait()

    reader.while_handing_on, reader.before_answering = go_back, after_that
    await reader.drain({ZERO: [0, 1]}, {ZERO: [0, 1]})
    assert reader.handed_on() == [(0, 2, 2), (0, 2, 2)]


async def test_nothing_is_handed_on_while_a_rebalance_goes_on() -> None:
    reader = Draining()

    def rebalance() -> None:
        reader.flow_active = False
        reader.can_resume_flow = asyncio.Event()

    reader.while_handing_on = rebalance
    await reader.drain({ZERO: [0, 1], ONE: [0, 1]})
    assert reader.handed_on() == [(0, 2, 2)]


async def test_what_a_rebalance_drops_confirms_no_gap() -> None:
    """The next read lacks it, where the gap once was one of a race."""
    reader = Draining()
    await reader.read(5, 6)
    assert reader.sought == [0]
    runs = [[SimpleNamespace(offset=one, timestamp=0, timestamp_type=0) for one in own] for own in ((0, 4), (5, 6))]
    for run, reader.flow_active in zip(runs, (False, True), strict=True):
        await reader._hand_on_all(Read({ZERO: run}, dict(reader.seeks_done)))
    assert (reader.sought, reader.handed_on()) == ([0, 0], [])


async def test_what_the_log_holds_without_records_is_handed_on_too(reader: Reader) -> None:
    """Or a log that ends with the mark of a transaction would never be counted to its end."""
    run = [SimpleNamespace(offset=one, timestamp=0, timestamp_type=0) for one in (0, 1)]
    reader.flow_active = True
    await reader._hand_on_all(Read({ZERO: run}, reader.seeks_done, {ZERO: (2, 3)}))
    await reader._hand_on_all(Read({}, reader.seeks_done, {ZERO: (3, 4)}))
    await reader._hand_on_all(Read({}, reader.seeks_done, {ZERO: (3, 4)}))
    assert reader.handed_on() == [(0, 3, 2), (3, 4, 0)]


async def test_nothing_without_records_is_handed_on_where_records_may_have_been_dropped(reader: Reader) -> None:
    reader.flow_active = True
    await reader._hand_on_all(Read({}, reader.seeks_done, {ZERO: (5, 6)}))
    assert (reader.handed_on(), reader.sought) == ([], [0])
    await reader.read(0, 1, 2, 3, 4)
    assert reader.handed_on() == [(0, 5, 5)]


async def test_a_topic_that_was_created_again_is_noticed_before_its_records_are_handed_on() -> None:
    reader = Draining()
    reader._settled = {}

    async def restarts(_: Any) -> dict[TP, int]:
        return {ZERO: 0} if not reader.sought else {}

    reader.partitions = cast(Any, SimpleNamespace(restarts=restarts))
    reader._position[ZERO] = 7
    await reader.drain({ZERO: [7, 8]}, {ZERO: [0, 1]})
    assert (reader.sought, reader.handed_on()) == ([0], [(0, 2, 2)])


async def test_a_topic_that_was_created_again_while_a_store_was_waited_for_is_noticed() -> None:
    """Of a partition that was never asked for before, no doubt is noted when it is asked for late."""
    reader = Draining()

    async def starts(_: Any) -> dict[TP, int]:
        return {ZERO: 7}

    async def restarts(_: Any) -> dict[TP, int]:
        return {ZERO: 0} if reader.sought == [7] else {}

    reader.partitions = cast(Any, SimpleNamespace(starts=starts, restarts=restarts))
    reader.__dict__["_assigned"] = lambda: [ZERO]
    await reader._start_from_checkpoints()
    await reader.drain({ZERO: [7, 8]}, {ZERO: [0, 1]})
    assert (reader.sought, reader.handed_on()) == ([7, 0], [(0, 2, 2)])


async def test_a_full_buffer_takes_no_partition_out_of_reading() -> None:
    """A read that is under way would not notice that it is wanted again, and wait for records of others."""
    reader = Draining()
    reader.on_buffer_full(ZERO)
    assert reader._get_active_partitions() == {ZERO, ONE}


@pytest.mark.parametrize(("stable", "end", "heard_at"), [(8, 8, 1_000), (5, 8, None)])
def test_the_log_ends_where_a_transaction_is_open_and_nobody_knows_up_to_when_it_is_complete(
    stable: int, end: int, heard_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog would take what cannot be read yet for a reader that stands still."""
    reader = Reader()
    state = SimpleNamespace(lso=stable, highwater=end, timestamp=1_000)
    monkeypatch.setattr(reader, "_state", lambda _: state)
    assert (reader.seen_end(ZERO), reader.heard_at(ZERO)) == (stable, heard_at)


async def test_who_ends_does_not_wait_for_a_commit_in_a_thread_that_has_ended(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(driver.Consumer, "on_stop", never)
    monkeypatch.setattr(consumer, "LAST_COMMIT_SECONDS", 0.01)
    await asyncio.wait_for(reader.on_stop(), 30)
