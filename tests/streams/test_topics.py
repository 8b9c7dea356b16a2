"""Topics as brokers tell of them: Kafka, and the embedded broker with its own view of where a log ends."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from app.domain.increments import Position
from app.embedded.broker import start_broker
from app.errors import NotFound, StoreUnavailable
from app.streams.log import Log
from app.streams.publishing import Message, Publisher
from app.streams.topics import Topics, _true_ends
from tests.end_to_end.processes import eventually
from tests.servers.ports import free_port
from tests.servers.topics import delete_topic


@pytest.fixture(params=["kafka", "embedded"])
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "kafka":
        yield request.getfixturevalue("kafka_bootstrap")
        return
    broker = start_broker(tmp_path, free_port())
    yield broker.bootstrap
    broker.stop()


async def test_the_end_is_the_next_offset_also_after_batches_of_many(bootstrap: str) -> None:
    topics, name = Topics(bootstrap), f"topics-{uuid4().hex[:12]}"
    assert topics.create(name, 2)
    positions = topics.describe([name])[0].positions()
    assert set(topics.ends(positions).values()) == {(0, 0)}
    publisher = Publisher(bootstrap, name)
    await publisher.start()
    for number in range(1_000):
        await publisher.add(Message(b"v%d" % number, b"x" * 1_000))
    await publisher.flush()
    assert sum(end for _, end in topics.ends(positions).values()) == 1_000
    await publisher.add(Message(b"v", b"x"))
    await publisher.flush()
    assert sum(end for _, end in topics.ends(positions).values()) == 1_001
    await publisher.stop()
    delete_topic(bootstrap, name)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_the_end_is_found_behind_batches_of_every_codec(kafka_bootstrap: str, codec: str) -> None:
    """Where more was written since the end was told, the answer that tells holds it."""
    topics, name = Topics(kafka_bootstrap), f"topics-{uuid4().hex[:12]}"
    topics.create(name, 1, config={"compression.type": codec})
    publisher = Publisher(kafka_bootstrap, name)
    await publisher.start()
    await publisher.add(Message(b"k", b"x" * 1_000))
    await publisher.flush()
    await publisher.stop()
    tp = TopicPartition(name, 0)
    with topics.kept_ends() as kept, kept._client() as consumer:
        assert _true_ends(consumer, {tp: 0}) == {tp: 1}
    delete_topic(kafka_bootstrap, name)


def test_an_end_that_no_fetch_tells_is_not_told(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for instead may be too low, of the embedded broker, and then reads like a log that was cut."""
    topics, name = Topics(kafka_bootstrap), f"topics-{uuid4().hex[:12]}"
    topics.create(name, 1)
    monkeypatch.setattr("app.streams.topics._FETCH_SECONDS", 0.1)
    monkeypatch.setattr(KafkaConsumer, "highwater", lambda *_: None)
    with pytest.raises(StoreUnavailable, match=f"{name}/0 ends within 0.1 s"):
        topics.ends(topics.describe([name])[0].positions())
    delete_topic(kafka_bootstrap, name)


async def test_who_asks_again_is_told_the_new_ends_over_the_same_connection(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_from_now_on(monkeypatch, KafkaConsumer)
    topics, name = Topics(bootstrap), f"topics-{uuid4().hex[:12]}"
    topics.create(name, 2)
    positions = topics.describe([name])[0].positions()
    publisher = Publisher(bootstrap, name)
    await publisher.start()
    with topics.kept_ends() as kept:
        for total in range(0, 90, 30):
            assert sum(end for _, end in kept.of(positions).values()) == total
            for number in range(30):
                await publisher.add(Message(b"v%d" % number, b"x"))
            await publisher.flush()
        assert len(opened) == 1
        for _ in range(2):
            assert sum(end for _, end in kept.of(positions).values()) == 90
            told = [opened[0].highwater(TopicPartition(name, partition)) for partition in range(2)]
            assert None not in told, "nothing new is an answer too, and not waited for"
        monkeypatch.setattr(opened[0], "end_offsets", refuse)
        with pytest.raises(ValueError, match="no answer"):
            kept.of(positions)
        assert opened[0]._closed, "what broke is not asked again"
        assert sum(end for _, end in kept.of(positions).values()) == 90
    assert [each._closed for each in opened] == [True, True]
    await publisher.stop()
    delete_topic(bootstrap, name)


async def test_who_asks_for_descriptions_again_is_told_over_the_same_connection(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, name = Topics(bootstrap), f"topics-{uuid4().hex[:12]}"
    topics.create(name, 2)
    known = topics.describe([name])
    opened = opened_from_now_on(monkeypatch, KafkaAdminClient)
    with topics.kept_descriptions() as kept:
        assert kept.of([name]) == known
        with pytest.raises(NotFound):
            kept.of([name, f"{name}-not"])
        delete_topic(bootstrap, name)
        # Brokers learn of both a moment later.
        eventually(lambda: Topics(bootstrap).create(name, 2), 20, "the topic to be created again")
        eventually(lambda: name in Topics(bootstrap).names(), 20, "the topic to be known")
        del opened[1:]
        assert kept.of([name]) != known, "another topic of the same name"
        assert len(opened) == 1
        monkeypatch.setattr(opened[0], "describe_topics", refuse)
        with pytest.raises(ValueError, match="no answer"):
            kept.of([name])
        assert len(kept.of([name])) == 1
    assert len(opened) == 2
    delete_topic(bootstrap, name)


def opened_from_now_on(monkeypatch: pytest.MonkeyPatch, kind: Any) -> list[Any]:
    """The clients of this kind that the module connects."""
    opened: list[Any] = []

    def connect(**options: Any) -> Any:
        opened.append(kind(**options))
        return opened[-1]

    monkeypatch.setattr(f"app.streams.topics.{kind.__name__}", connect)
    return opened


def refuse(_: object) -> None:
    raise ValueError("no answer")


async def test_spans_of_several_partitions_are_read_in_order_and_without_a_gap(bootstrap: str) -> None:
    topics, name = Topics(bootstrap), f"topics-{uuid4().hex[:12]}"
    topics.create(name, 3)
    positions = topics.describe([name])[0].positions()
    publisher = Publisher(bootstrap, name)
    await publisher.start()
    for number in range(900):
        await publisher.add(Message(b"v%d" % number, b"%d " % number * 200))
    await publisher.flush()
    await publisher.stop()
    ends = {position: end for position, (_, end) in topics.ends(positions).items()}
    wanted = {
        position: [(0, 20), (end - 100, end - 95), (end - 95, end - 90), (end - 50, end)]
        for position, end in ends.items()
    }
    read: dict[Position, list[int]] = {position: [] for position in positions}
    async for batch in Log(bootstrap).read_spans({**wanted, positions[2]: []}, fetch_bytes=10_000):
        assert [record.offset for record in batch.records] == list(range(batch.start, batch.next_offset))
        read[batch.position] += range(batch.start, batch.next_offset)
    for position in positions[:2]:
        assert read[position] == [offset for start, end in wanted[position] for offset in range(start, end)]
    assert read[positions[2]] == []
    delete_topic(bootstrap, name)


def test_a_topic_is_created_once_and_missing_ones_are_named(bootstrap: str) -> None:
    topics, name = Topics(bootstrap), f"topics-{uuid4().hex[:12]}"
    assert topics.create(name, 3)
    assert not topics.create(name, 3)
    (described,) = topics.describe([name])
    assert (described.name, described.partitions) == (name, 3)
    assert described.incarnation
    with pytest.raises(NotFound, match="absent"):
        topics.describe([name, "absent"])
    delete_topic(bootstrap, name)


@pytest.mark.parametrize("seconds_late", [0.1, 60.0])
def test_who_creates_a_topic_waits_until_a_broker_knows_it(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, seconds_late: float
) -> None:
    known_at = time.monotonic() + seconds_late
    describe = KafkaAdminClient.describe_topics

    def describe_late(admin: KafkaAdminClient, names: list[str]) -> Any:
        return describe(admin, names if time.monotonic() > known_at else [f"{name}-not" for name in names])

    monkeypatch.setattr(KafkaAdminClient, "describe_topics", describe_late)
    topics, name = Topics(bootstrap, timeout_seconds=5), f"topics-{uuid4().hex[:12]}"
    if seconds_late < 5:
        assert topics.create(name, 1)
        assert topics.describe([name])[0].partitions == 1
    else:
        with pytest.raises(StoreUnavailable, match=f"created the topic {name}, and does not know it 5 s later"):
            topics.create(name, 1)
    delete_topic(bootstrap, name)


@pytest.mark.kafka
def test_settings_of_a_topic_are_told(kafka_bootstrap: str, make_topic: Callable[..., str]) -> None:
    name = make_topic(message_timestamp_type="LogAppendTime", retention_ms="86400000")
    config = Topics(kafka_bootstrap).config(name)
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["retention.ms"] == "86400000"


def test_brokers_that_are_away_are_named() -> None:
    with pytest.raises(StoreUnavailable, match="kafka is unavailable"):
        Topics("127.0.0.1:1", timeout_seconds=0.5).describe(["events"])


def test_who_asks_brokers_that_are_away_leaves_no_thread_and_no_socket_behind() -> None:
    topics, position = Topics("127.0.0.1:1", timeout_seconds=0.6), Position("events", 0, "incarnation")
    calls: list[Callable[[], object]] = [
        topics.names,
        lambda: topics.ends([position]),
        lambda: topics.first_since([position], 0),
    ]
    gc.collect()
    gc.disable()  # It would close what is left, at last.
    try:
        before = open_files(), threading.active_count()
        for call in calls:
            with pytest.raises(StoreUnavailable, match="Unable to bootstrap"):
                call()
        assert (open_files(), threading.active_count()) == before
    finally:
        gc.enable()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
