"""Quix Streams: one INCR per match; with BENCH_SINK, a batching sink of one's own with a pipeline."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import redis
from quixstreams import Application
from quixstreams.sinks.base import BatchingSink, SinkBatch

from tests.benchmarks.contenders.by_hand import keys_of, setting, write

client: Any = redis.Redis.from_url(setting("REDIS"))


class CounterSink(BatchingSink):
    """Adds a batch's matches up and writes them at once."""

    def write(self, batch: SinkBatch) -> None:
        counts: Counter[str] = Counter()
        for item in batch:
            counts[item.value] += 1
        pipe = client.pipeline(transaction=False)
        write(pipe, counts, 0)
        pipe.execute()


def increment(event: Any) -> None:
    for key in keys_of(event):
        client.incr(key)


def main() -> None:
    app = Application(
        broker_address=setting("KAFKA"),
        consumer_group=setting("GROUP"),
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=1.0,
        # Else the first message that is no JSON ends the application.
        on_consumer_error=lambda error, message, logger: True,
        loglevel="CRITICAL",
    )
    events = app.dataframe(app.topic(setting("TOPIC"), value_deserializer="json"))
    if "BENCH_SINK" in os.environ:
        events.apply(keys_of, expand=True).sink(CounterSink())
    else:
        events.update(increment)
    app.run()


if __name__ == "__main__":
    main()
