"""A bare aiokafka loop: whole polls, one pipeline a poll. BENCH_FLOOR=consume|decode stops earlier."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from typing import Any

import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer

from tests.benchmarks.events import matches_plain


async def main() -> None:
    floor = os.environ.get("BENCH_FLOOR")
    client: Any = redis.Redis.from_url(os.environ["BENCH_REDIS"])
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_TOPIC"],
        bootstrap_servers=os.environ["BENCH_KAFKA"],
        group_id=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
        enable_auto_commit=False,
    )
    await consumer.start()
    while True:
        polled = await consumer.getmany(timeout_ms=500, max_records=5_000)
        if not polled:
            continue
        counts: Counter[str] = Counter()
        done = 0
        for records in polled.values():
            done += len(records)
            if floor == "consume":
                continue
            for record in records:
                try:
                    event = json.loads(record.value)
                except ValueError:
                    continue
                if floor is None:
                    counts.update(f"{event['projectKey']}:{number}" for number in matches_plain(event))
        async with client.pipeline(transaction=False) as pipe:
            pipe.incrby("done", done)
            for key, number in counts.items():
                pipe.incrby(key, number)
            await pipe.execute()
        await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
