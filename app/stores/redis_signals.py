"""What processes tell each other through Redis: that the catalog changed, and which worker runs which revision.

All of it may be lost: workers look for a new revision every second anyway, and a silent worker is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from app.errors import StoreUnavailable
from app.stores.redis_client import Client, as_store_errors

CHANNEL = "sk:catalog"
WORKERS = "sk:workers"
ALIVE_SECONDS = 5.0
FORGOTTEN_SECONDS = 600.0


class RedisSignals:
    """Implements CatalogSignals, and the workers' side of it. Coroutines; raise StoreUnavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def publish(self, revision: int) -> None:
        """Nudge the workers."""
        with as_store_errors():
            await self._client.execute_command("PUBLISH", CHANNEL, revision)

    async def nudges(self) -> AsyncIterator[None]:
        """One item a nudge, and one when the connection was made (nudges may have been missed). Ends when it breaks."""
        try:
            with as_store_errors():
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=False, timeout=30.0)
                        if message is not None:
                            yield None
        except StoreUnavailable:
            return

    async def now(self) -> int:
        """The clock of Redis, epoch ms: one for all processes, whatever their machines' clocks say."""
        with as_store_errors():
            # In a script with a key, so that of a cluster it is always the same shard's.
            seconds, micros = await self._client.eval("return redis.call('TIME')", 1, WORKERS)
        return int(seconds) * 1000 + int(micros) // 1000

    async def report_worker(self, ident: str, report: Mapping[str, Any]) -> None:
        """Say that the worker lives, which revision it runs, and how it does."""
        text = json.dumps({**report, "at": await self.now()})
        with as_store_errors():
            await self._client.hset(WORKERS, ident, text)

    async def forget_worker(self, ident: str) -> None:
        with as_store_errors():
            await self._client.hdel(WORKERS, ident)

    async def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """Every worker that was heard of in the last ten minutes, with `alive` by whether in the last five seconds."""
        now = await self.now()
        with as_store_errors():
            raw = await self._client.hgetall(WORKERS)
            found: dict[str, Mapping[str, Any]] = {}
            for name, text in raw.items():
                report = json.loads(text)
                silent_ms = now - report["at"]
                if silent_ms > FORGOTTEN_SECONDS * 1000:
                    await self._client.hdel(WORKERS, name)
                else:
                    found[name.decode()] = {**report, "alive": silent_ms <= ALIVE_SECONDS * 1000}
        return found

    async def worker_revisions(self) -> Mapping[str, int]:
        """The catalog revision of each worker that lives."""
        return {name: report["revision"] for name, report in (await self.workers()).items() if report["alive"]}

    async def workers_out_of_touch(self) -> Sequence[str]:
        """Those of them that could not reach the database when they last tried."""
        reports = (await self.workers()).items()
        return [name for name, report in reports if report["alive"] and report.get("isOutOfTouch")]
