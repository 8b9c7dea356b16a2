"""What topics hold, read with a client that is not ours."""

from __future__ import annotations

import time

from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition

from app.streams.topics import CLOSING_SOCKETS
from tests.faults.oracle import Message


async def send_nothing(kafka: str, topic: str) -> None:
    """A message with neither key nor value."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await (await producer.send_batch(batch, topic, partition=0))


def read_all(kafka: str, topic: str, ends: dict[int, tuple[int, int]]) -> list[Message]:
    """Everything below the ends that was not aborted; per partition (first offset, end)."""
    options = {"enable_auto_commit": False, "isolation_level": "read_committed", **CLOSING_SOCKETS}
    consumer = KafkaConsumer(bootstrap_servers=kafka, **options)
    try:
        found: list[Message] = []
        tps = {TopicPartition(topic, partition): end for partition, (first, end) in ends.items() if first < end}
        consumer.assign(list(tps))
        consumer.seek_to_beginning(*tps)
        heard_at = time.monotonic()
        while any(consumer.position(tp) < end for tp, end in tps.items()):
            assert time.monotonic() < heard_at + 60, "the log cannot be read"
            for records in consumer.poll(1000, max_records=10_000).values():
                heard_at = time.monotonic()
                found += [Message(one.partition, one.offset, one.timestamp, one.value) for one in records]
        return found
    finally:
        consumer.close()


def dead_letters_of(kafka: str, topic: str) -> set[tuple[int, int, str]]:
    """(partition, offset, reason) of each dead letter of the topic."""
    name = f"{topic}.dead-letters"
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, **CLOSING_SOCKETS)
    try:
        tp = TopicPartition(name, 0)
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end = consumer.end_offsets([tp])[tp]
        found = set()
        while consumer.position(tp) < end:
            for record in consumer.poll(1000).get(tp, []):
                headers = {key: value.decode() for key, value in record.headers}
                if headers["scorekeeper-topic"] == topic:
                    where = int(headers["scorekeeper-partition"]), int(headers["scorekeeper-offset"])
                    found.add((*where, headers["scorekeeper-reason"]))
        return found
    finally:
        consumer.close()
