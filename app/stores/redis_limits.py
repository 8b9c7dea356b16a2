"""Rate limits: one token bucket a project and kind, in Redis for all processes, in this process while Redis is away."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping

from app.errors import StoreUnavailable
from app.stores.redis_client import Client, as_store_errors

_WINDOW_SECONDS = 60.0
_KEPT = 10_000
_SCRIPT = """
local most, cost, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1] or most), tonumber(state[2] or now)
tokens = math.min(most, tokens + math.max(0, now - at) * most / 60)
local granted = tokens >= cost
if granted then tokens = tokens - cost end
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now)
redis.call('EXPIRE', KEYS[1], 120)
return {granted and 1 or 0, math.floor(tokens), tostring((math.max(0, cost - tokens)) * 60 / most)}
"""


class TokenBuckets:
    """`limits`: kind -> how many a minute and project; 0 is no limit. Never raises because Redis is away."""

    def __init__(self, client: Client, limits: Mapping[str, int]) -> None:
        self._client = client
        self._limits = limits
        self._local: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    async def take(self, project: str, kind: str, cost: int) -> tuple[bool, int, int, float]:
        """(granted, limit, remaining, seconds until it would be granted)."""
        most = self._limits.get(kind, 0)
        if most <= 0:
            return True, 0, 0, 0.0
        cost = min(cost, most)
        try:
            with as_store_errors():
                granted, remaining, wait = await self._client.eval(
                    _SCRIPT, 1, f"sk:limit:{kind}:{project}", most, cost, time.time()
                )
            return bool(granted), most, int(remaining), float(wait)
        except StoreUnavailable:
            return self._take_here(project, kind, most, cost)

    def _take_here(self, project: str, kind: str, most: int, cost: int) -> tuple[bool, int, int, float]:
        now = time.monotonic()
        tokens, at = self._local.get((project, kind), (float(most), now))
        tokens = min(float(most), tokens + (now - at) * most / _WINDOW_SECONDS)
        granted = tokens >= cost
        tokens -= cost if granted else 0
        self._local[project, kind] = (tokens, now)
        while len(self._local) > _KEPT:
            self._local.popitem(last=False)
        return granted, most, int(tokens), max(0.0, cost - tokens) * _WINDOW_SECONDS / most
