"""kafka-python: whole polls, one pipeline a poll."""

from __future__ import annotations

from collections import Counter
from typing import Any

import redis
from kafka import KafkaConsumer

from tests.benchmarks.contenders.by_hand import count_values, setting, write


def main() -> None:
    client: Any = redis.Redis.from_url(setting("REDIS"))
    consumer = KafkaConsumer(
        setting("TOPIC"),
        bootstrap_servers=setting("KAFKA"),
        group_id=setting("GROUP"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    while True:
        polled = consumer.poll(timeout_ms=500, max_records=5_000)
        if not polled:
            continue
        counts: Counter[str] = Counter()
        for records in polled.values():
            counts += count_values(record.value for record in records)
        pipe = client.pipeline(transaction=False)
        write(pipe, counts, 0)
        pipe.execute()
        consumer.commit()


if __name__ == "__main__":
    main()
