"""The plain Faust agent, one event at a time with one INCR per match; with BENCH_TAKE, `take` and a pipeline."""

from __future__ import annotations

import os
import sys
from typing import Any

import faust
import msgspec
import redis.asyncio as redis

from tests.benchmarks.contenders.by_hand import count_values, keys_of, setting, write

app: Any = faust.App(
    setting("GROUP"),
    broker=f"kafka://{setting('KAFKA')}",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    value_serializer="raw",
    datadir=setting("DIR"),
)
client: Any = redis.Redis.from_url(setting("REDIS"))


async def count(stream: Any) -> None:
    """Count each event as it comes."""
    async for value in stream:
        try:
            event = msgspec.json.decode(value)
        except msgspec.DecodeError:
            continue
        for key in keys_of(event):
            await client.incr(key)


async def count_many(stream: Any) -> None:
    """Count what comes within half a second, at most a thousand events, with one pipeline."""
    async for values in stream.take(1_000, within=0.5):
        async with client.pipeline(transaction=False) as pipe:
            write(pipe, count_values(values), 0)
            await pipe.execute()


app.agent(app.topic(setting("TOPIC"), value_serializer="raw"))(count_many if "BENCH_TAKE" in os.environ else count)

if __name__ == "__main__":
    sys.argv = ["plain_faust", "worker", "--without-web", "-l", "error"]
    app.main()
