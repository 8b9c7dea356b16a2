"""A bare confluent-kafka loop: whole polls, one pipeline a poll. BENCH_FLOOR=consume|decode stops earlier."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import redis
from confluent_kafka import Consumer

from tests.benchmarks.contenders.by_hand import count_values, setting, write


def main() -> None:
    floor = os.environ.get("BENCH_FLOOR")
    client: Any = redis.Redis.from_url(setting("REDIS"))
    consumer = Consumer(
        {
            "bootstrap.servers": setting("KAFKA"),
            "group.id": setting("GROUP"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([setting("TOPIC")])
    while True:
        messages = [message for message in consumer.consume(5_000, timeout=0.5) if message.error() is None]
        if not messages:
            continue
        counts: Counter[str] = Counter()
        if floor != "consume":
            counts = count_values((message.value() for message in messages), stop_after_decoding=floor == "decode")
        pipe = client.pipeline(transaction=False)
        write(pipe, counts, len(messages))
        pipe.execute()
        consumer.commit(asynchronous=True)


if __name__ == "__main__":
    main()
