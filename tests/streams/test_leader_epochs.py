"""Leader epochs are read from what brokers answer, and nothing is handed on of a log that was cut."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kafka import KafkaProducer

from app.domain.increments import Position
from app.domain.witness import Witness
from app.errors import StoreUnavailable
from app.streams.consumer_thread import Read
from app.streams.leader_epochs import EpochWatch, LeaderEpochs, epochs_of
from app.streams.topics import Topics
from tests.streams.test_consumer import ZERO, Reader

AT = 1_790_000_000_000


def batch(base: int, epoch: int, messages: int = 3, magic: int = 2) -> bytes:
    """Stamped by its producer, each message a millisecond after the one before."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for number in range(messages):
        builder.append(number, AT + number, None, b"x" * 20, [])
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, base)
    struct.pack_into(">ib", made, 12, epoch, magic)
    return bytes(made)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (batch(7, 4), LeaderEpochs(4, Witness(4, 8, AT))),
        (batch(7, 4) + batch(10, 4) + batch(13, 6), LeaderEpochs(4, Witness(6, 14, AT))),
        (batch(7, 4) + batch(10, 6)[:50], LeaderEpochs(4, Witness(6, 11, AT))),
        (batch(7, 4) + batch(10, 6)[:16], LeaderEpochs(4, Witness(4, 8, AT))),
        (batch(7, -1), None),
        (batch(7, 4, magic=1), None),
        (b"", None),
        (batch(7, 4)[:8] + (-12).to_bytes(4, "big", signed=True) + batch(7, 4)[12:], None),
    ],
    ids=[
        "one",
        "several",
        "the last in part",
        "less than a header",
        "no epochs",
        "an old format",
        "nothing",
        "a broken one",
    ],
)
def test_the_first_epoch_and_the_last_batch_are_told(answer: bytes, expected: LeaderEpochs | None) -> None:
    assert epochs_of(answer) == expected


def test_the_moment_is_the_messages_own_or_the_brokers() -> None:
    stamped = bytearray(batch(7, 4))
    struct.pack_into(">h", stamped, 21, 8)
    assert epochs_of(bytes(stamped)) == LeaderEpochs(4, Witness(4, 8, AT + 2))


async def test_other_answers_are_handed_on() -> None:
    class Client:
        async def send(self, node_id: int, request: Any, **options: Any) -> tuple[Any, ...]:
            return node_id, request, options

        def force_metadata_update(self) -> str:
            return "asked"

    client: Any = Client()
    watch = EpochWatch(client)
    request = MetadataRequest([])
    assert await client.send(3, request, group="g") == (3, request, {"group": "g"})
    assert watch.take([("events", 0)]) == {}


@pytest.mark.kafka
async def test_a_broker_tells_epochs_of_what_it_is_asked_for(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(1)
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", batch_size=0)
    for _ in range(5):
        producer.send(topic, b"{}", partition=0).get(60)
    producer.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap, enable_auto_commit=False)
    watch = EpochWatch(consumer._client)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), 0)
        assert len((await consumer.getmany(timeout_ms=60_000))[TopicPartition(topic, 0)]) == 5
        # Of a run that ends with what is no record both are told.
        epochs = watch.take([TopicPartition(topic, 0)] * 2)[topic, 0]
        assert (epochs.first, epochs.last[:2]) == (0, (0, 5))
        assert watch.take([TopicPartition(topic, 0)]) == {}
    finally:
        await consumer.stop()
    with Topics(kafka_bootstrap).kept_records() as records:
        position = Position(topic, 0)
        assert records.find_cut(position, 5, epochs.last) is None
        # As if each of its messages had come under a later leader.
        assert records.find_cut(position, 5, Witness(-1, 5, 0)) == 0
        assert records.find_cut(position, 5, Witness(-1, 5, epochs.last.timestamp)) is None
        # As if the log had been as long, and the same below; or had been cut at its end.
        assert records.find_cut(position, 5, Witness(0, 9, 0)) == 5
        assert records.find_cut(position, 9, epochs.last) == 5


@pytest.mark.parametrize(("to", "handed_on", "sought"), [(None, [(0, 3, 3)], []), (1, [], [1])])
async def test_nothing_is_handed_on_of_a_log_that_was_find_cut_it(
    to: int | None, handed_on: list[tuple[int, int, int]], sought: list[int]
) -> None:
    reader = Reader()
    seen = []

    async def heed(*given: Any) -> int | None:
        seen.append(given)
        return to

    reader.partitions = cast(Any, SimpleNamespace(heed=heed, applied=lambda _: None))
    epochs = LeaderEpochs(4, Witness(4, 3, AT))
    await reader._hand_on_all(first_read_with(epochs))
    assert seen == [(ZERO, 0, epochs)]
    assert (reader.handed_on(), reader.sought) == (handed_on, sought)


async def test_what_was_read_before_a_seek_is_not_looked_at() -> None:
    """It may be of a topic that was created again since."""
    reader = Reader()
    reader.partitions = cast(Any, SimpleNamespace())
    reader.rewind(ZERO, 0)
    await reader._hand_on_all(first_read_with(LeaderEpochs(4, Witness(4, 3, AT))))
    assert reader.handed_on() == []


async def test_a_seek_while_it_is_looked_for_a_cut_is_not_undone() -> None:
    reader = Reader()

    async def heed(*_: Any) -> None:
        reader.rewind(ZERO, 0)

    reader.partitions = cast(Any, SimpleNamespace(heed=heed))
    await reader._hand_on_all(first_read_with(LeaderEpochs(4, Witness(4, 3, AT))))
    assert reader.handed_on() == []


async def test_an_answer_without_epochs_has_not_those_of_the_one_before() -> None:
    answers = [batch(7, 4), batch(10, -1)]

    class Client:
        async def send(self, *_: Any) -> Any:
            return SimpleNamespace(topics=[("events", [(0, answers.pop(0))])])

        def force_metadata_update(self) -> str:
            return "asked"

    client: Any = Client()
    watch = EpochWatch(client)
    for _ in range(2):
        await client.send(1, FetchRequest(250, 1, 1_000, 0, []))
    assert watch.take([("events", 0)]) == {}


async def test_what_is_read_after_the_brokers_were_lost_sight_of_says_so() -> None:
    class Client:
        async def send(self, *_: Any) -> Any:
            return SimpleNamespace(topics=[("events", [(0, batch(7, 4))])])

        def force_metadata_update(self) -> str:
            return "asked"

    client: Any = Client()
    watch = EpochWatch(client)
    for doubts in range(2):
        await client.send(1, FetchRequest(250, 1, 1_000, 0, []))
        assert watch.take([("events", 0)])["events", 0].doubts == doubts
        assert client.force_metadata_update() == "asked"


async def test_while_a_cut_cannot_be_told_nothing_is_handed_on_and_it_is_read_again() -> None:
    reader = Reader()

    async def heed(*_: Any) -> int:
        raise StoreUnavailable("redis", "away")

    async def rest(_: float) -> None:
        pass

    reader.partitions = cast(Any, SimpleNamespace(heed=heed))
    reader.sleep = rest  # type: ignore[assignment]
    await reader._hand_on_all(first_read_with(LeaderEpochs(4, Witness(4, 3, AT))))
    assert (reader.handed_on(), reader.sought) == ([], [0])


def first_read_with(epochs: LeaderEpochs) -> Read:
    run = [SimpleNamespace(offset=one, timestamp=0, timestamp_type=0) for one in range(3)]
    return Read({ZERO: run}, {ZERO: 0}, epochs={ZERO: epochs})
