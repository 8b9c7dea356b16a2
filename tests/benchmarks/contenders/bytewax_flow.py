"""Bytewax: a dataflow from Kafka into a sink that writes each batch with a pipeline."""

from __future__ import annotations

from collections import Counter
from typing import Any

import bytewax.operators as op
import msgspec
import redis
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from tests.benchmarks.contenders.by_hand import keys_of, setting, write


class Counters(StatelessSinkPartition[str]):
    """Adds a batch's matches up and writes them at once."""

    def __init__(self) -> None:
        self._client: Any = redis.Redis.from_url(setting("REDIS"))

    def write_batch(self, items: list[str]) -> None:
        pipe = self._client.pipeline(transaction=False)
        write(pipe, Counter(items), 0)
        pipe.execute()


class CounterSink(DynamicSink[str]):
    """One partition a worker."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Counters:
        del step_id, worker_index, worker_count
        return Counters()


def matched(message: Any) -> list[str]:
    try:
        event = msgspec.json.decode(message.value)
    except msgspec.DecodeError:
        return []
    return keys_of(event)


def main() -> None:
    flow = Dataflow("count")
    source = KafkaSource([setting("KAFKA")], [setting("TOPIC")], add_config={"group.id": setting("GROUP")})
    op.output("out", op.flat_map("match", op.input("in", flow, source), matched), CounterSink())
    cli_main(flow)


if __name__ == "__main__":
    main()
