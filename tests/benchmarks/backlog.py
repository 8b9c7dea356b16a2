"""Many events quickly: some different ones over and over, each time with other ids. In the contenders' environment:
`python -m tests.benchmarks.backlog KAFKA TOPIC EVENTS [EVENTS_PER_SECOND]`."""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from tests.benchmarks.events import Count, write

PATTERN = 20_000


def main(kafka: str, topic: str, events: int, per_second: float) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 5, "queue.buffering.max.messages": 500_000})
    pattern = list(write(PATTERN, 3, Count()))
    begun, sent = time.perf_counter(), 0
    while sent < events:
        mark = f'"id": "{sent:x}-'.encode()
        for key, value in pattern[: events - sent]:
            producer.produce(topic, value.replace(b'"id": "', mark, 1), key)
            sent += 1
            if sent % 20 == 0 or per_second < 1_000:
                producer.poll(0)
                ahead = sent / per_second - (time.perf_counter() - begun)
                if ahead > 0.002:
                    time.sleep(ahead)
            elif len(producer) > 400_000:
                producer.poll(0.1)
    producer.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 1e9)
