"""Dead letters, read back a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast
from weakref import WeakSet

import pytest
from kafka import KafkaProducer

from app.domain.envelope import REPLAY_HEADER, read_headers
from app.domain.folding import DeadLetter, Record
from app.domain.increments import Position
from app.errors import InvalidDefinition, NotFound, Reason, ScorekeeperError, StoreUnavailable
from app.ports import Which
from app.streams import letters
from app.streams.dead_letters import PREFIX, DeadLetterTopic, headers_of
from app.streams.letters import Letter, Letters
from app.streams.log import Log
from app.streams.publishing import Message, Publisher
from app.streams.topics import TopicDescription, Topics
from app.tracking import Batch
from tests.builders import LogRecord


def write(bootstrap: str, topic: str, partition: int, ours: dict[str, str]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    headers = [(PREFIX + name, text.encode()) for name, text in ours.items()]
    producer.send(topic, b"{}", partition=partition, headers=headers).get(30)
    producer.close()


@pytest.mark.kafka
def test_pages_hold_every_letter_once_and_the_newest_first(
    kafka_bootstrap: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = make_topic(2)
    monkeypatch.setattr(letters, "LOOKED_AT", 3)
    for number in range(9):
        project = "other" if number in {2, 4, 6} else "shop"
        ours = {"id": f"l{number}", "project": project, "reason": "too_old", "topic": "events"}
        write(kafka_bootstrap, topic, number % 2, ours)
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))

    async def read(limit: int, project: str) -> list[list[str]]:
        pages, before = [], None
        while True:
            shown, before = await store.newest(Which(projects=frozenset({project})), limit, before)
            pages.append([str(one["id"]) for one in shown])
            if before is None:
                return pages

    by_two, all_others = asyncio.run(read(2, "shop")), asyncio.run(read(9, "other"))
    assert max(map(len, by_two)) <= 2
    assert sorted(chain(*by_two)) == ["l0", "l1", "l3", "l5", "l7", "l8"]
    assert by_two[0] == ["l8", "l7"]
    assert sorted(chain(*all_others)) == ["l2", "l4", "l6"]


@pytest.mark.kafka
async def test_when_the_last_one_came_is_known_while_the_topic_holds_it(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(2)
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))
    assert await store.last_at() is None
    for number, partition in enumerate([0, 1, 1, 0]):
        write(kafka_bootstrap, topic, partition, {"id": f"l{number}", "topic": "events"})
    written = {letter.ident: letter.record.timestamp async for letter in store.read(Which())}
    assert await store.last_at() == max(written.values()) == written["l3"]


@pytest.mark.kafka
async def test_a_recreated_topics_letter_does_not_hide_behind_the_old_one(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    source, topic = make_topic(1), make_topic(1)
    (present,) = Topics(kafka_bootstrap).describe([source])
    sender = DeadLetterTopic(kafka_bootstrap, topic)
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))
    letter = DeadLetter(LogRecord(0, b"{"), Reason.INVALID_JSON, "no JSON")
    try:
        for incarnation in ("deleted", present.incarnation, present.incarnation):
            await sender.send([letter], Position(source, 0, incarnation))
    finally:
        await sender.close()
    found = [one async for one in store.read(Which())]
    assert [one.ident for one in found] == [f"{source}@{which}/0/0" for which in ("deleted", present.incarnation)]
    assert await store.replay(Which()) == 2
    (position,) = present.positions()
    headers = [record.headers async for one in Log(kafka_bootstrap).read(position, 0, 2) for record in one.records]
    assert len({read_headers(own).ident for own in headers}) == 2


@pytest.mark.kafka
async def test_a_message_that_comes_back_as_a_dead_letter_is_sent_once_by_each_replay(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    source, topic = make_topic(1), make_topic(1)
    (position,) = Topics(kafka_bootstrap).describe([source])[0].positions()
    sender, log = DeadLetterTopic(kafka_bootstrap, topic), Log(kafka_bootstrap)
    store = Letters(Topics(kafka_bootstrap), log, topic, lambda name: Publisher(kafka_bootstrap, name))
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all")
    for _ in range(2):
        producer.send(source, b"{", headers=[("source", b"shop")], partition=0).get(30)
    producer.close()
    firsts = [f"{source}@{position.incarnation}/0/{offset}".encode() for offset in range(2)]
    try:
        for end in (2, 4):
            arrived = [record async for batch in log.read(position, end - 2, end) for record in batch.records]
            await sender.send([DeadLetter(record, Reason.INVALID_JSON, "no JSON") for record in arrived], position)
            assert await store.replay(Which()) == 2
            again = [record async for batch in log.read(position, end, end + 2) for record in batch.records]
            told = [("scorekeeper-replay", first) for first in firsts]
            assert [record.headers for record in again] == [[("source", b"shop"), one] for one in told]
        assert len([one async for one in store.read(Which())]) == 4
    finally:
        await sender.close()


@pytest.mark.parametrize(
    ("replayed", "index", "origin"),
    [
        (None, None, b"events@id/3/7"),
        (None, 2, b"events@id/3/7/2"),
        (b"events@id/1/4", None, b"events@id/1/4"),
        (b"events@id/1/4/2", None, b"events@id/1/4/2"),
        (b"events@id/1/4", 2, b"events@id/1/4/2"),
    ],
)
def test_a_letter_of_a_replayed_message_keeps_the_identity_of_the_first(
    replayed: bytes | None, index: int | None, origin: bytes
) -> None:
    brought = [] if replayed is None else [(REPLAY_HEADER, replayed)]
    letter = DeadLetter(LogRecord(7, b"{}", headers=brought), Reason.TOO_OLD, "old", index=index)
    headers = headers_of(letter, Position("events", 3, "id"), by_reference=False)
    assert letters.Letter(LogRecord(0, b"{}", headers=headers)).origin == origin


@pytest.mark.kafka
async def test_what_lies_in_a_recreated_topic_is_not_taken_for_an_old_letters_message(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    source, topic = make_topic(1), make_topic(1)
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all")
    ours = {"id": f"{source}@deleted/0/0", "reason": "too_old", "topic": source, "incarnation": "deleted"}
    ours |= {"partition": "0", "offset": "0", "by-reference": "9 bytes"}
    producer.send(source, b"another", partition=0).get(30)
    producer.send(topic, None, b"", [(PREFIX + name, text.encode()) for name, text in ours.items()], 0).get(30)
    producer.close()
    other = {"id": "other", "reason": "too_old", "topic": source}
    for _ in range(2):
        write(kafka_bootstrap, topic, 0, other)
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))
    with pytest.raises(NotFound):
        await store.replay(Which())
    (position,) = Topics(kafka_bootstrap).describe([source])[0].positions()
    assert Topics(kafka_bootstrap).ends([position]) == {position: (0, 2)}, "the others are sent, each once"


@pytest.mark.kafka
async def test_letters_of_a_topic_that_is_gone_hold_up_no_other(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    source, topic = make_topic(1), make_topic(1)
    for number, came_from in enumerate([source, "nowhere", "nowhere", source]):
        write(kafka_bootstrap, topic, 0, {"id": f"l{number}", "reason": "too_old", "topic": came_from})
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))
    async with asyncio.timeout(30):
        with pytest.raises(NotFound, match="nowhere"):
            await store.replay(Which())
    (position,) = Topics(kafka_bootstrap).describe([source])[0].positions()
    assert Topics(kafka_bootstrap).ends([position]) == {position: (0, 2)}


@pytest.mark.kafka
async def test_what_is_too_large_for_its_topic_is_told_and_not_counted_as_sent(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    """A message that just fitted in, and was too large for the dead-letter topic, grows by the header of a replay."""
    source, other, topic = make_topic(1, **{"max.message.bytes": "300"}), make_topic(1), make_topic(1)
    for came_from, ident in ((source, "x" * 300), (other, "l1")):
        write(kafka_bootstrap, topic, 0, {"id": ident, "reason": "too_old", "topic": came_from})
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))
    with pytest.raises(ScorekeeperError, match=f"{source} did not take 1 of .* raise its max.message.bytes"):
        await store.replay(Which())
    positions = [one.positions()[0] for one in Topics(kafka_bootstrap).describe([source, other])]
    assert [end for _, end in Topics(kafka_bootstrap).ends(positions).values()] == [0, 1], "the other one is sent"


@pytest.mark.kafka
async def test_a_replay_holds_a_few_letters_at_a_time(
    kafka_bootstrap: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, topic = make_topic(1), make_topic(1)
    for number in range(30):
        write(kafka_bootstrap, topic, 0, {"id": f"l{number}", "reason": "too_old", "topic": source})
    held: WeakSet[Letter] = WeakSet()
    most = 0

    class Watched(Letter):
        def __init__(self, record: Record) -> None:
            nonlocal most
            super().__init__(record)
            held.add(self)
            most = max(most, len(held))

    monkeypatch.setattr(letters, "Letter", Watched)
    store = Letters(Topics(kafka_bootstrap), Log(kafka_bootstrap), topic, lambda name: Publisher(kafka_bootstrap, name))
    assert await store.replay(Which()) == 30
    assert 0 < most < 10


@dataclass
class _InMemory:
    """Stands for Topics, the log and a Publisher: one topic, whose messages are dead letters of its own."""

    records: list[LogRecord]
    being_read: int = 0
    """Readings that have begun and not ended."""
    topic: str = "letters"

    def describe(self, names: Sequence[str]) -> list[TopicDescription]:
        return [TopicDescription(name, "id", 1) for name in names]

    def ends(self, positions: Sequence[Position]) -> Mapping[Position, tuple[int, int]]:
        return dict.fromkeys(positions, (0, len(self.records)))

    async def read(self, position: Position, start: int, end: int) -> AsyncGenerator[Batch, None]:
        self.being_read += 1
        try:
            for offset in range(start, end):
                yield Batch(position, offset, offset + 1, self.records[offset : offset + 1])
        finally:
            self.being_read -= 1

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def add(self, message: Message) -> None:
        raise StoreUnavailable("kafka", f"it is away, and does not take {message.value!r}")


async def test_no_reading_outlives_who_asked_for_it() -> None:
    """Each has a connection to the brokers, which the collector would close some time."""
    of_reference = {"topic": "letters", "partition": "0", "offset": "0", "by-reference": "2 bytes"}
    headers = [[(PREFIX + k, v.encode()) for k, v in {"id": f"l{n}", **of_reference}.items()] for n in range(3)]
    kept = _InMemory([LogRecord(n, b"{}", headers=own) for n, own in enumerate(headers)])
    store = Letters(cast("Topics", kept), kept, "letters", lambda _: cast("Publisher", kept))
    one = store.read(Which())
    assert (await anext(one)).ident == "l0"
    assert kept.being_read == 1
    await one.aclose()
    assert kept.being_read == 0
    with pytest.raises(StoreUnavailable, match="it is away, and does not take"):
        await store.replay(Which())
    assert kept.being_read == 0


@pytest.mark.parametrize("text", ["", "x", "0", "0.", "0.1-", "-1.2", "0.9999999999999999999", "0.1" + "-0.1" * 1000])
def test_a_place_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(InvalidDefinition):
        letters.cursor_of(text)
    assert letters.cursor_of(letters.cursor_text({0: 5, 3: 0})) == {0: 5, 3: 0}
