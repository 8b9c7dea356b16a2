"""Writing to a topic, on a real broker."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from app.errors import StoreUnavailable
from app.streams.log import Log
from app.streams.publishing import Message, Publisher
from app.streams.topics import Topics

pytestmark = pytest.mark.kafka


@pytest.fixture
async def publisher(kafka_bootstrap: str, make_topic: Callable[..., str]) -> AsyncIterator[Publisher]:
    found = Publisher(kafka_bootstrap, make_topic())
    await found.start()
    yield found
    await found.stop()


async def _read(bootstrap: str, topic: str) -> dict[int, list[tuple[bytes | None, bytes | None]]]:
    at = Topics(bootstrap)
    read: dict[int, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)
    for position, (first, end) in at.ends(at.describe([topic])[0].positions()).items():
        async for batch in Log(bootstrap).read(position, first, end):
            read[position.partition] += [(record.key, record.value) for record in batch.records]
    return read


async def test_every_message_is_written_once_and_those_of_a_key_in_their_order(
    kafka_bootstrap: str, publisher: Publisher
) -> None:
    for number in range(20_000):
        await publisher.add(Message(b"v%d" % (number % 97), b"%d" % number, tag=number))
    await publisher.flush()
    assert publisher.published == 20_000
    read = await _read(kafka_bootstrap, publisher.topic)
    by_key: dict[bytes | None, list[int]] = defaultdict(list)
    for partition in read.values():
        for key, value in partition:
            by_key[key].append(int(value or b"-1"))
    assert sum(map(len, by_key.values())) == 20_000
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


async def test_a_key_goes_where_every_other_kafka_client_sends_it(kafka_bootstrap: str, publisher: Publisher) -> None:
    from kafka import KafkaProducer

    keys = [b"v%d" % number for number in range(50)]
    theirs = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    for key in keys:
        theirs.send(publisher.topic, key=key, value=b"theirs")
        await publisher.add(Message(key, b"ours"))
    theirs.flush()
    theirs.close()
    await publisher.flush()
    read = await _read(kafka_bootstrap, publisher.topic)
    places = {
        writer: {key: partition for partition, messages in read.items() for key, value in messages if value == writer}
        for writer in (b"ours", b"theirs")
    }
    assert sorted(map(str, places[b"ours"])) == sorted(map(str, keys))
    assert places[b"ours"] == places[b"theirs"]


async def test_a_message_that_the_topic_does_not_take_is_named_and_the_others_go_on(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    publisher = Publisher(kafka_bootstrap, make_topic(max_message_bytes="300000"))
    await publisher.start()
    for number, size in enumerate((10, 400_000, 10)):
        await publisher.add(Message(b"k", b"x" * size, tag=number))
    await publisher.flush()
    await publisher.stop()
    assert (publisher.refused, publisher.published) == ([1], 2)


async def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(StoreUnavailable, match="kafka is unavailable"):
        await Publisher("127.0.0.1:1", "events").start()


class Unreachable:
    """A producer whose broker has gone away: every batch is taken, and fails."""

    def create_batch(self) -> Any:
        return SimpleNamespace(append=lambda **_: True)

    async def send_batch(self, *_: Any, **__: Any) -> asyncio.Future[None]:
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(KafkaConnectionError("gone"))
        return failed

    async def stop(self) -> None:
        """Nothing is open."""


async def test_a_broker_that_goes_away_is_told_once() -> None:
    """Of several batches that failed the others' errors are nobody's, and asyncio tells them as defects."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    publisher = Publisher("localhost:1", "events")
    publisher._producer, publisher._partitions = cast(Any, Unreachable()), [0, 1, 2, 3]
    for number in range(50):
        await publisher.add(Message(b"v%d" % number, b"x"))
    with pytest.raises(StoreUnavailable):
        await publisher.flush()
    await publisher.stop()
    del publisher
    gc.collect()
    assert told == []
