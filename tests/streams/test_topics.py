"""Topics as brokers tell of them: Kafka, and the embedded broker with its own view of where a log ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.embedded.broker import start_broker
from app.errors import NotFound, StoreUnavailable
from app.streams.publishing import Message, Publisher
from app.streams.topics import Topics


@pytest.fixture(params=["kafka", "embedded"])
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "kafka":
        yield request.getfixturevalue("kafka_bootstrap")
        return
    broker = start_broker(tmp_path)
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
    topics.delete(name)


def test_a_topic_is_created_once_and_missing_ones_are_named(bootstrap: str) -> None:
    topics, name = Topics(bootstrap), f"topics-{uuid4().hex[:12]}"
    assert topics.create(name, 3)
    assert not topics.create(name, 3)
    (described,) = topics.describe([name])
    assert (described.name, described.partitions) == (name, 3)
    assert described.incarnation
    with pytest.raises(NotFound, match="absent"):
        topics.describe([name, "absent"])
    topics.delete(name)


@pytest.mark.kafka
def test_settings_of_a_topic_are_told(kafka_bootstrap: str, make_topic: Callable[..., str]) -> None:
    name = make_topic(message_timestamp_type="LogAppendTime", retention_ms="86400000")
    config = Topics(kafka_bootstrap).config(name)
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["retention.ms"] == "86400000"


def test_brokers_that_are_away_are_named() -> None:
    with pytest.raises(StoreUnavailable, match="kafka is unavailable"):
        Topics("127.0.0.1:1", timeout_seconds=0.5).describe(["events"])
