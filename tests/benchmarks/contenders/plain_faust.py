"""The plain Faust agent: one event at a time, one INCR per match."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import faust
import redis.asyncio as redis

from tests.benchmarks.events import matches_plain

app: Any = faust.App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_KAFKA']}",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    value_serializer="raw",
    datadir=os.environ["BENCH_DIR"],
)
client: Any = redis.Redis.from_url(os.environ["BENCH_REDIS"])


async def count(stream: Any) -> None:
    """Count each event as it comes."""
    async for value in stream:
        try:
            event = json.loads(value)
        except ValueError:
            continue
        for number in matches_plain(event):
            await client.incr(f"{event['projectKey']}:{number}")


app.agent(app.topic(os.environ["BENCH_TOPIC"], value_serializer="raw"))(count)

if __name__ == "__main__":
    sys.argv = ["plain_faust", "worker", "--without-web", "-l", "error"]
    app.main()
