"""Events from HTTP to Kafka: all of a request or nothing, and a quick answer when Kafka is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app.errors import StoreUnavailable
from app.streams.sending import EventSender
from app.streams.topics import Topics
from tests.servers.ports import free_port

MESSAGES = [(f"v{number}".encode(), b"{}", [("project", b"shop")]) for number in range(50)]


def stored(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> messages."""
    (found,) = Topics(bootstrap).describe([topic])
    ends = Topics(bootstrap).ends(list(found.positions()))
    return {position.partition: end for position, (_, end) in ends.items() if end}


@pytest.mark.kafka
async def test_what_is_published_together_is_one_record_batch(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(4)
    sender = EventSender(kafka_bootstrap, topic, timeout_seconds=60)
    try:
        await sender.publish(MESSAGES)
    finally:
        await sender.close()
    assert list((await asyncio.to_thread(stored, kafka_bootstrap, topic)).values()) == [50]


async def test_without_kafka_it_gives_up_in_time() -> None:
    sender = EventSender(f"127.0.0.1:{free_port()}", "events", timeout_seconds=0.5)
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(60):
            await sender.publish(MESSAGES)
    await sender.close()
