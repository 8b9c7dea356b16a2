"""Runs are what aiokafka's own way of reading gives, without its copies."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from app.streams.runs import batches_of, read_runs

TP = TopicPartition("events", 0)


class State:
    """A partition's state, as the fetcher sees it."""

    def __init__(self, position: int) -> None:
        self.paused = False
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


CONTROL = 0x20
"""Of a batch's attributes: its record says how a transaction ended."""


def kafka_batches(*sizes: int, ends_with_control: bool = False) -> bytes:
    """An answer of the broker with so many records a batch, from offset 0 on; each value names its offset."""
    answer, offset = b"", 0
    for size in sizes:
        builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, 0, 1 << 20)
        for delta in range(size):
            value = str(offset + delta).encode()
            assert builder.append(delta, timestamp=1000 + offset + delta, key=b"k", value=value, headers=[])
        batch = bytearray(builder.build())
        batch[:8] = offset.to_bytes(8, "big")
        if ends_with_control and offset + size == sum(sizes):
            batch[22] |= CONTROL
            batch[17:21] = calc_crc32c(batch[21:]).to_bytes(4, "big")
        answer += batch
        offset += size
    return answer


def result(answer: bytes, position: int = 0) -> tuple[Any, State]:
    state = State(position)
    records = PartitionRecords(TP, batches_of(answer), [], position, None, None, True, READ_UNCOMMITTED)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    return FetchResult(TP, assignment=assignment, partition_records=records, backoff=0), state


def runs_of(answer: bytes, position: int, most: int | None) -> tuple[list[list[int]], State]:
    own, state = result(answer, position)
    fetcher = SimpleNamespace(_records={TP: own})
    read_runs(fetcher)
    runs: list[list[int]] = []
    while own.has_more():
        run = own.getall(most)
        assert [record.value for record in run] == [str(record.offset).encode() for record in run]
        assert [record.timestamp for record in run] == [1000 + record.offset for record in run]
        runs.append([record.offset for record in run])
    return runs, state


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("most", [None, 1, 3, 4, 100])
def test_the_records_and_the_position_are_those_of_aiokafka(position: int, most: int | None) -> None:
    answer = kafka_batches(3, 1, 5)
    own, wanted = result(answer, position)
    expected: list[int] = []
    while own.has_more():
        expected += [record.offset for record in own.getall(most)]
    runs, state = runs_of(answer, position, most)
    assert [offset for run in runs for offset in run] == expected == list(range(position, 9))
    assert state.position == wanted.position == 9
    assert most is None or max(map(len, runs)) <= most


@pytest.mark.parametrize(("position", "bare"), [(0, (3, 4)), (3, (3, 4))])
def test_what_a_run_ends_with_that_is_no_record_is_told(position: int, bare: tuple[int, int]) -> None:
    own, state = result(kafka_batches(3, 1, ends_with_control=True), position)
    prefetched = read_runs(SimpleNamespace(_records={TP: own}))
    assert [record.offset for record in own.getall(None)] == list(range(position, 3))
    assert (prefetched.bare, state.position) == ({TP: bare}, 4)


def test_between_records_nothing_is_told() -> None:
    own, _ = result(kafka_batches(2, 2))
    prefetched = read_runs(SimpleNamespace(_records={TP: own}))
    for most in (1, 2, 1):
        assert len(own.getall(most)) == most
        assert prefetched.bare == {}


def old_messages(magic: int, offsets: range) -> bytes:
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
    for offset in offsets:
        assert builder.append(offset, timestamp=1000 if magic else None, key=b"k", value=b"v")
    return bytes(builder.build())


def test_a_log_that_went_on_in_newer_formats_is_read_whole() -> None:
    """The driver takes all of an answer for what comes first, and finds it broken, for ever."""
    new = kafka_batches(3)
    answer = old_messages(0, range(2)) + old_messages(1, range(2, 5)) + (5).to_bytes(8, "big") + new[8:]
    for end, expected in ((len(answer), range(8)), (len(answer) - 1, range(5))):
        own, _ = result(answer[:end])
        read_runs(SimpleNamespace(_records={TP: own}))
        assert [record.offset for record in own.getall(None)] == list(expected)


def test_messages_of_kafkas_first_format_say_that_they_have_no_timestamp() -> None:
    """The driver gives None there, and whoever compares moments would end on it."""
    own, state = result(old_messages(0, range(3)), 1)
    read_runs(SimpleNamespace(_records={TP: own}))
    run = own.getall(None)
    assert [(record.offset, record.timestamp, record.timestamp_type) for record in run] == [(1, -1, 0), (2, -1, 0)]
    assert [(record.key, record.value, record.headers) for record in run] == [(b"k", b"v", ())] * 2
    assert state.position == 3


def test_a_seek_meanwhile_ends_the_run() -> None:
    own, state = result(kafka_batches(3, 3))
    read_runs(SimpleNamespace(_records={TP: own}))
    assert len(own.getall(2)) == 2
    state.position = 5
    assert own.getall(2) == []
    assert not own.has_more()


async def test_a_broken_batch_is_refused_and_takes_along_nothing_of_other_partitions() -> None:
    """What was taken of them is read once: lost with an error, it would be a gap, and a gap that is seen twice counts
    as one of the log."""
    answer, other = bytearray(kafka_batches(3)), TopicPartition("events", 1)
    answer[-2] ^= 1
    sound, _ = result(kafka_batches(2, 2))
    broken, state = result(bytes(answer))
    subscriptions = SimpleNamespace(reassignment_in_progress=False, is_assigned=lambda _: True)
    fetcher: Any = SimpleNamespace(_records={other: sound, TP: broken}, _subscriptions=subscriptions)
    fetcher._notify, fetcher._wait_consume_future = lambda _: None, None
    read_runs(fetcher)
    taken = await Fetcher.fetched_records(fetcher, [])
    assert {tp: [record.offset for record in run] for tp, run in taken.items()} == {other: [0, 1, 2, 3]}
    with pytest.raises(CorruptRecordException):
        await Fetcher.fetched_records(fetcher, [])
    assert (state.position, fetcher._records) == (0, {}), "it is asked for again"


@pytest.mark.parametrize("most", [2, None])
def test_an_answer_that_was_read_is_freed_without_the_collector(most: int | None) -> None:
    own, _ = result(kafka_batches(2, 2))
    answer = weakref.ref(own._partition_records)
    read_runs(SimpleNamespace(_records={TP: own}))
    gc.disable()
    try:
        while own.has_more():
            own.getall(most)
        assert answer() is None
    finally:
        gc.enable()


def test_what_is_read_later_gives_runs_too() -> None:
    fetcher = SimpleNamespace(_records={})
    read_runs(fetcher)
    own, _ = result(kafka_batches(2))
    fetcher._records[TP] = own
    read_runs(fetcher)
    assert [type(record).__name__ for record in fetcher._records[TP].getall(None)] == ["DefaultRecord"] * 2
