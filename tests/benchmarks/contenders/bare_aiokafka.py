"""A bare aiokafka loop: whole polls, one pipeline a poll. BENCH_FLOOR=consume|decode stops earlier."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import Any

import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer

from tests.benchmarks.contenders.by_hand import count_values, setting, write


async def main() -> None:
    floor = os.environ.get("BENCH_FLOOR")
    client: Any = redis.Redis.from_url(setting("REDIS"))
    consumer = AIOKafkaConsumer(
        setting("TOPIC"),
        bootstrap_servers=setting("KAFKA"),
        group_id=setting("GROUP"),
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
        for records in polled.values():
            if floor != "consume":
                counts += count_values((record.value for record in records), stop_after_decoding=floor == "decode")
        async with client.pipeline(transaction=False) as pipe:
            write(pipe, counts, sum(map(len, polled.values())))
            await pipe.execute()
        await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
