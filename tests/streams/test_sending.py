"""Events from HTTP to Kafka: each in its key's partition, all confirmed, and a quick answer when Kafka is away."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import NotLeaderForPartitionError

from app.errors import StoreUnavailable, Unconfirmed
from app.streams.log import Log
from app.streams.sending import EventSender
from app.streams.topics import Topics
from tests.servers.ports import free_port

MESSAGES = [(f"v{number}".encode(), b"{}", [("project", b"shop")]) for number in range(50)]


@pytest.fixture
async def sender(kafka_bootstrap: str, make_topic: Callable[..., str]) -> AsyncIterator[EventSender]:
    found = EventSender(kafka_bootstrap, make_topic(4), timeout_seconds=60)
    yield found
    await found.close()


async def read(bootstrap: str, topic: str) -> dict[int, list[bytes | None]]:
    """Partition -> the keys of its messages, in their order."""
    at = Topics(bootstrap)
    found: dict[int, list[bytes | None]] = defaultdict(list)
    (described,) = await asyncio.to_thread(at.describe, [topic])
    ends = await asyncio.to_thread(at.ends, list(described.positions()))
    for position, (first, end) in ends.items():
        async for batch in Log(bootstrap).read(position, first, end):
            found[position.partition] += [record.key for record in batch.records]
    return found


@pytest.mark.kafka
async def test_each_event_of_a_request_goes_where_it_would_have_gone_alone(
    kafka_bootstrap: str, sender: EventSender
) -> None:
    """So a correction follows its original, whatever else is in its request."""
    for one in MESSAGES:
        await sender.publish([one])
    alone = await read(kafka_bootstrap, sender.topic)
    await sender.publish(MESSAGES)
    both = await read(kafka_bootstrap, sender.topic)
    assert len(alone) > 1
    assert both == {partition: keys * 2 for partition, keys in alone.items()}


@pytest.mark.kafka
async def test_what_has_no_key_goes_together(kafka_bootstrap: str, sender: EventSender) -> None:
    await sender.publish([(None, b"{}", [])] * 50)
    assert [len(keys) for keys in (await read(kafka_bootstrap, sender.topic)).values()] == [50]


@pytest.mark.kafka
async def test_a_partition_that_fails_is_told_and_the_others_have_their_events(
    kafka_bootstrap: str, sender: EventSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_batch = AIOKafkaProducer.send_batch

    async def fails_at_one(self: AIOKafkaProducer, batch: Any, topic: str, *, partition: int) -> Any:
        if partition == 0:
            raise NotLeaderForPartitionError
        return await send_batch(self, batch, topic, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", fails_at_one)
    with pytest.raises(Unconfirmed, match="NotLeader"):
        await sender.publish(MESSAGES)
    first = await read(kafka_bootstrap, sender.topic)
    assert sorted(first) == [1, 2, 3]
    monkeypatch.undo()
    await sender.publish(MESSAGES)
    assert sorted({key for keys in (await read(kafka_bootstrap, sender.topic)).values() for key in keys if key}) == (
        sorted(key for key, _, _ in MESSAGES)
    )


async def test_without_kafka_it_gives_up_in_time_and_says_that_nothing_was_sent() -> None:
    sender = EventSender(f"127.0.0.1:{free_port()}", "events", timeout_seconds=0.5)
    with pytest.raises(StoreUnavailable) as caught:
        async with asyncio.timeout(60):
            await sender.publish(MESSAGES)
    assert not isinstance(caught.value, Unconfirmed)
    await sender.close()
