"""What a worker fetches ahead of all its partitions together has one bound, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from kafka import KafkaProducer

from app.streams import read_ahead
from app.streams.consumer_thread import ConsumerThread
from app.streams.leader_epochs import EpochWatch
from config.settings import Settings

PARTITIONS, RECORDS, SIZE = 4, 100, 20_000


class Reading(ConsumerThread):
    """As far as it fetches."""

    def __init__(self) -> None:
        self._seeks_done = {}
        self.consumer = cast(Any, SimpleNamespace(flow_active=True))
        self._most_fetched = 1 << 20
        self.epochs = EpochWatch(SimpleNamespace(send=None, force_metadata_update=None))


@pytest.fixture
def topic(kafka_bootstrap: str, make_topic: Callable[..., str]) -> str:
    """Of each partition 2 MB, a Kafka batch a record; the last one is larger than all that is read ahead."""
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
@pytest.mark.parametrize("at_a_time", [PARTITIONS, PARTITIONS // 2])
async def test_what_is_fetched_of_all_partitions_is_bounded_and_all_is_read(
    kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    bound = PARTITIONS * 3 * SIZE
    monkeypatch.setattr(read_ahead, "READ_AHEAD_BYTES", bound)
    monkeypatch.setattr(read_ahead, "AT_A_TIME", at_a_time)
    monkeypatch.setattr(read_ahead, "LEAST_FETCH_BYTES", 1_000)
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
            held = {each: one._partition_records._records.size_in_bytes() for each, one in fetched._records.items()}
            assert PARTITIONS * 2 * SIZE < sum(held.values()) <= bound + SIZE * PARTITIONS
            assert sum(size > 2 * SIZE for size in held.values()) == at_a_time, "the others have to wait"
            while set(read.values()) != {RECORDS + 1}:
                await take(set(partitions))
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("partitions", "held", "most", "brokers", "share", "together"),
    [
        (1, 0, 2 << 20, 1, 2 << 20, 16 << 20),
        (16, 4 << 20, 2 << 20, 1, 1 << 20, 12 << 20),
        (16, 0, 2 << 20, 4, 1 << 20, 4 << 20),
        (5_000, 15 << 20, 2 << 20, 1, (16 << 20) // 24, 1 << 20),
        (5_000, 17 << 20, 2 << 20, 1, (16 << 20) // 24, 64 << 10),
        (4, 0, 1_024, 1, 1_024, 16 << 20),
        (0, 0, 1_024, 0, 1_024, 16 << 20),
    ],
)
def test_each_partition_has_its_share_and_all_have_what_is_left(
    monkeypatch: pytest.MonkeyPatch, partitions: int, held: int, most: int, brokers: int, share: int, together: int
) -> None:
    monkeypatch.setattr(read_ahead, "_held_bytes", lambda _: held)
    fetcher: Any = Fetcher(brokers)
    for _ in range(2):
        read_ahead.share_read_ahead(fetcher, most)
    assert fetcher._get_actions_per_node(SimpleNamespace(tps=range(partitions))) == (share, together)
    assert fetcher.asked == 1


class Fetcher:
    """As far as it decides what to ask for."""

    def __init__(self, brokers: int) -> None:
        self._client = SimpleNamespace(cluster=SimpleNamespace(brokers=lambda: range(brokers)))
        self._max_partition_fetch_bytes = self._fetch_max_bytes = self.asked = 0

    def _get_actions_per_node(self, _: object) -> tuple[int, int]:
        self.asked += 1
        return self._max_partition_fetch_bytes, self._fetch_max_bytes


def test_the_bound_is_told_where_the_setting_is_described() -> None:
    described = Settings.model_fields["fetch_bytes"].description
    assert described is not None
    assert f"of all that a worker reads together, {read_ahead.READ_AHEAD_BYTES >> 20} MiB" in described
