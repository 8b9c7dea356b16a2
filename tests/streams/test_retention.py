"""Retention that overtakes whoever reads the log again, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from app.domain.increments import Position
from app.errors import DeletedMeanwhile, EndsBefore
from app.ports import Which
from app.proving import FixedCatalog
from app.recounting import NoDeadLetters, RecountProgress, recount
from app.rereading import received_at
from app.stores.memory import MemoryCounters
from app.streams.dead_letters import PREFIX
from app.streams.letters import Letters
from app.streams.log import Log
from app.streams.publishing import Message, Publisher
from app.streams.topics import Topics
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import RULES, catalog, event

pytestmark = pytest.mark.kafka

MESSAGES = 3_000
DELETED_BELOW = 2_500
FETCH_BYTES = 1_000
"""So little that hardly anything is read ahead: the broker sends one of its batches, of a hundred, at a time."""


@pytest.fixture
async def position(kafka_bootstrap: str, make_topic: Callable[..., str]) -> Position:
    """Of a partition with MESSAGES purchases."""
    publisher = Publisher(kafka_bootstrap, make_topic(1))
    await publisher.start()
    for number in range(MESSAGES):
        await publisher.add(Message(None, event(f"e{number}"), tag=number))
        if number % 100 == 99:
            await publisher.flush()
    await publisher.stop()
    topics = Topics(kafka_bootstrap)
    (found,) = topics.describe([publisher.topic])[0].positions()
    assert topics.ends([found]) == {found: (0, MESSAGES)}
    return found


def delete_records(bootstrap: str, position: Position, below: int) -> None:
    admin: Any = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.delete_records({TopicPartition(position.topic, position.partition): below})
    finally:
        admin.close()


@dataclass
class OvertakenLog:
    """Implements LogSource: everything below DELETED_BELOW is deleted after the first batch that was read."""

    bootstrap: str
    read_up_to: int = 0

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        async for batch in Log(self.bootstrap, fetch_bytes=FETCH_BYTES).read(position, start, end):
            yield batch
            if not self.read_up_to:
                await asyncio.to_thread(delete_records, self.bootstrap, position, DELETED_BELOW)
            self.read_up_to = batch.next_offset


async def read_all(batches: AsyncIterator[Batch]) -> None:
    async for _ in batches:
        """To the end."""


async def test_who_reads_is_told_where_the_log_begins_now(kafka_bootstrap: str, position: Position) -> None:
    log = OvertakenLog(kafka_bootstrap)
    with pytest.raises(DeletedMeanwhile) as deleted:
        await read_all(log.read(position, 0, MESSAGES))
    assert 0 < log.read_up_to < DELETED_BELOW
    assert deleted.value.first == DELETED_BELOW


async def test_of_several_partitions_the_one_that_was_deleted_is_named(
    kafka_bootstrap: str, make_topic: Callable[..., str], position: Position
) -> None:
    empty = Position(make_topic(1), 0, "empty")
    delete_records(kafka_bootstrap, position, DELETED_BELOW)
    batches = Log(kafka_bootstrap).read_spans({empty: [(0, 5)], position: [(0, MESSAGES)]})
    with pytest.raises(DeletedMeanwhile, match=f"{position.topic}/0 was deleted up to offset {DELETED_BELOW}"):
        await read_all(batches)


async def test_counting_again_tells_the_hole_and_goes_on_behind_it(kafka_bootstrap: str, position: Position) -> None:
    counters, holes, shown = MemoryCounters(), dict[int, int](), list[RecountProgress]()

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(counters, RULES)

    async def note_hole(_: Position, start: int, to: int) -> None:
        holes[start] = to

    async def note_progress(progress: RecountProgress) -> None:
        shown.append(progress)

    tracker = Tracker(open_generation, FixedCatalog(catalog()), NoDeadLetters())
    spans: Mapping[Position, tuple[int, int]] = {position: (0, MESSAGES)}
    read = await recount(tracker, OvertakenLog(kafka_bootstrap), spans, note_progress, note_hole)

    ((start, to),) = holes.items()
    assert 0 < start < to == DELETED_BELOW
    assert read == start + MESSAGES - to
    assert counters.accounting()[1][f"{position.name}|received"] == read
    assert await counters.checkpoints([position]) == [[MESSAGES]]
    assert shown[-1] == RecountProgress(position, read, read)


async def test_what_was_cut_off_at_the_end_is_told(kafka_bootstrap: str, position: Position) -> None:
    for start, wanted in ((MESSAGES + 1, MESSAGES + 1), (MESSAGES - 100, MESSAGES)):
        told = f"{position.topic}/0 was cut off at offset {MESSAGES} while it was read from {wanted} on: try again"
        with pytest.raises(EndsBefore, match=told):
            await read_all(Log(kafka_bootstrap).read(position, start, MESSAGES + 9))


async def test_when_what_is_not_there_was_received_nobody_knows(kafka_bootstrap: str, position: Position) -> None:
    delete_records(kafka_bootstrap, position, MESSAGES)
    assert await received_at(Log(kafka_bootstrap), position, 0) is None
    assert await received_at(Log(kafka_bootstrap), position, MESSAGES) is None


async def test_dead_letters_that_are_deleted_before_they_are_read_are_left_out(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(1)
    publisher = Publisher(kafka_bootstrap, topic)
    await publisher.start()
    for number in range(9):
        await publisher.add(Message(None, b"{}", [(f"{PREFIX}id", b"l%d" % number), (f"{PREFIX}topic", b"events")]))
    await publisher.flush()
    await publisher.stop()

    class TopicsBefore(Topics):
        def ends(self, positions: Sequence[Position]) -> Mapping[Position, tuple[int, int]]:
            found = super().ends(positions)
            delete_records(kafka_bootstrap, positions[0], 6)
            return found

    letters = Letters(TopicsBefore(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda _: publisher)
    assert [letter.ident async for letter in letters.read(Which())] == ["l6", "l7", "l8"]
