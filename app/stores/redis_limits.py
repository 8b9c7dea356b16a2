"""Rate limits: one token bucket a project and kind, in Redis for all processes, in this process while Redis is away.

A bucket holds what a minute allows and is filled evenly, so that who has been quiet may use a minute's worth at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

from app.errors import StoreUnavailable
from app.stores.redis_client import Client, as_store_errors

_WINDOW_SECONDS = 60.0
_KEPT = 10_000
_PATIENCE_SECONDS = 0.25
_AWAY_SECONDS = 1.0
# By the clock of Redis: those of API processes differ, and one that is set back would fill the buckets of all.
_SCRIPT = """
local most, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1] or most), tonumber(state[2] or now)
tokens = math.min(most, tokens + math.max(0, now - at) * most / 60)
local granted = tokens >= cost
if granted then tokens = tokens - cost end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 120)
return {granted and 1 or 0, math.floor(tokens), tostring((math.max(0, cost - tokens)) * 60 / most)}
"""


class TokenBuckets:
    """`limits`: kind -> how many a minute and project; 0 is no limit.

    Never raises because Redis is away, nor waits for it: after one call without an answer it is not asked for a second.
    """

    def __init__(self, client: Client, limits: Mapping[str, int]) -> None:
        self._client = client
        self._limits = limits
        self._local: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._away_until = 0.0

    async def take(self, project: str, kind: str, cost: int) -> tuple[bool, int, int, float]:
        """(granted, limit, remaining, seconds until it would be granted). More than the limit costs the limit."""
        most = self._limits.get(kind, 0)
        if most <= 0:
            return True, 0, 0, 0.0
        cost = min(cost, most)
        if time.monotonic() >= self._away_until:
            try:
                with as_store_errors():
                    async with asyncio.timeout(_PATIENCE_SECONDS):
                        granted, remaining, wait = await self._client.eval(
                            _SCRIPT, 1, f"sk:limit:{kind}:{project}", most, cost
                        )
                return bool(granted), most, int(remaining), float(wait)
            except StoreUnavailable:
                self._away_until = time.monotonic() + _AWAY_SECONDS
        return self._take_here(project, kind, most, cost)

    def _take_here(self, project: str, kind: str, most: int, cost: int) -> tuple[bool, int, int, float]:
        now = time.monotonic()
        tokens, at = self._local.get((project, kind), (float(most), now))
        tokens = min(float(most), tokens + (now - at) * most / _WINDOW_SECONDS)
        granted = tokens >= cost
        tokens -= cost if granted else 0
        self._local[project, kind] = (tokens, now)
        self._local.move_to_end((project, kind))
        while len(self._local) > _KEPT:
            self._local.popitem(last=False)
        return granted, most, int(tokens), max(0.0, cost - tokens) * _WINDOW_SECONDS / most
