"""What a worker fetches ahead of all its partitions together has one bound, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from kafka import KafkaProducer

from app.streams import consumer_thread
from app.streams.consumer_thread import ConsumerThread, share_read_ahead

PARTITIONS, RECORDS, SIZE = 4, 20, 20_000


class Reading(ConsumerThread):
    """As far as it fetches."""

    def __init__(self) -> None:
        self._seeks_done = {}
        self.consumer = cast(Any, SimpleNamespace(flow_active=True))
        self._most_fetched = 1 << 20


@pytest.fixture
def topic(kafka_bootstrap: str, make_topic: Callable[..., str]) -> str:
    """Of each partition 400 kB, a Kafka batch a record; the last one is larger than all that is read ahead."""
    name = make_topic(PARTITIONS)
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", batch_size=0)
    for partition in range(PARTITIONS):
        sent = [producer.send(name, b"x" * SIZE, partition=partition) for _ in range(RECORDS)]
        sent.append(producer.send(name, b"x" * 20 * SIZE, partition=partition))
        for one in sent:
            one.get(30)
    producer.close()
    return name


@pytest.mark.kafka
async def test_what_is_fetched_of_all_partitions_is_bounded_and_all_is_read(
    kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = PARTITIONS * 3 * SIZE
    monkeypatch.setattr(consumer_thread, "READ_AHEAD_BYTES", bound)
    monkeypatch.setattr(consumer_thread, "LEAST_FETCH_BYTES", 1_000)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka_bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=1_000
    )
    await consumer.start()
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    thread, read = Reading(), dict.fromkeys(partitions, 0)

    async def take(active: set[TopicPartition]) -> None:
        found = await thread._fetch_records(consumer, active, timeout=1.0)
        for each, run in found.runs.items():
            read[each] += len(run)

    fetched: Any = consumer._fetcher
    try:
        consumer.assign(partitions)
        for each in partitions:
            consumer.seek(each, 0)
        # As in a rebalance, which takes all partitions away while the question is on its way.
        await take(set())
        async with asyncio.timeout(60):
            # What was asked for before it was known how many share.
            while not all(read.values()):
                await take(set(partitions))
            while len(fetched._records) < PARTITIONS:
                await fetched._create_fetch_waiter()
            held = sum(one._partition_records._records.size_in_bytes() for one in fetched._records.values())
            assert PARTITIONS * 2 * SIZE < held <= bound
            while set(read.values()) != {RECORDS + 1}:
                await take(set(partitions))
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("partitions", "most", "share"),
    [(1, 2 << 20, 2 << 20), (48, 2 << 20, 1 << 19), (5_000, 2 << 20, 64 << 10), (4, 1_024, 1_024)],
)
def test_each_partition_has_its_share(partitions: int, most: int, share: int) -> None:
    fetcher: Any = type("Fetcher", (), {})()
    share_read_ahead(fetcher, partitions, most)
    assert fetcher._max_partition_fetch_bytes == share
