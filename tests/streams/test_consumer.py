"""What the batch consumer hands on of what it read: all of it, in order, and no gap that it did not see twice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from faust.types import TP

from app.streams.batches import RecordBatch
from app.streams.consumer import BatchConsumer, _Thread

ZERO = TP("events", 0)


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
        self.app = cast(Any, SimpleNamespace(consumer_generation_id=1))
        self._thread = cast(Any, SimpleNamespace(seek_soon=lambda _, offset: self.sought.append(offset)))

    async def _keep(self, message: Any) -> None:
        self.batches.append(message.value)
        self.while_handing_on()

    async def wait_first(self, *waited: Any, **_: Any) -> Any:
        await waited[0]
        waited[1].close()

    async def read(self, *offsets: int) -> None:
        await self._hand_on(ZERO, [SimpleNamespace(offset=one, timestamp=0, timestamp_type=0) for one in offsets])

    def handed_on(self) -> list[tuple[int, int, int]]:
        """(start, next offset, number of records) of each batch."""
        return [(one.start, one.next_offset, len(one.records)) for one in self.batches]


@pytest.fixture
async def reader() -> Reader:
    return Reader()


async def test_batches_join(reader: Reader) -> None:
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


class Watched(_Thread):
    """A thread that has run for long, committed nothing, and whose partition has a message that is not fetched yet."""

    def __init__(self) -> None:
        state = SimpleNamespace(highwater=8, position=7)
        assignment = SimpleNamespace(state_value=lambda _: state)
        subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self._fetching = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
        app = SimpleNamespace(
            monitor=SimpleNamespace(stream_inbound_time={ZERO: 9_999.0}),
            topics=SimpleNamespace(acks_enabled_for=lambda _: True),
        )
        self.consumer = cast(Any, SimpleNamespace(app=app))
        self.time_started = 0.0
        self.tp_last_committed_at = {}
        self.tp_stream_timeout_secs = self.tp_commit_timeout_secs = 300.0
        self.complaints: list[str] = []

    def _log_slow_processing_commit(self, msg: str, *args: Any) -> None:
        self.complaints.append(msg)

    def _ensure_consumer(self) -> Any:
        return self._fetching

    def _verify_aiokafka_event_path(self, now: float, tp: TP) -> bool:
        return False


def test_a_worker_is_not_called_stuck_because_it_committed_nothing() -> None:
    """Messages come all the time, so that one is always on its way, and a worker of some minutes would complain."""
    thread = Watched()
    super(_Thread, thread).verify_event_path(10_000.0, ZERO)
    assert thread.complaints
    thread.complaints.clear()
    thread.verify_event_path(10_000.0, ZERO)
    assert thread.complaints == []
