"""Ends event streams whose key ended. One look for all streams of a key, whatever their number."""

from __future__ import annotations

import asyncio
import hashlib

from fastapi import Request

from api.auth import doorkeeper_of
from api.dashboard.hub import Watch
from api.problems import Problem
from app.errors import InvalidApiKey, ScorekeeperError

LOOK_SECONDS = 0.1
"""The doorkeeper remembers for longer; together they stay below a second."""


class KeyGuard:
    """One a process."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, request: Request, watch: Watch) -> str:
        """Stop the watch with the cause `revoked` when the request's key ends; returns the mark to `remove` it by."""
        sent = (request.headers.get(name, "") for name in ("x-api-key", "authorization", "cookie"))
        mark = hashlib.sha256("\0".join(sent).encode()).hexdigest()
        self._watches.setdefault(mark, set()).add(watch)
        looking = self._tasks.get(mark)
        if looking is None or looking.done():
            self._tasks[mark] = asyncio.create_task(self._keep_looking(mark, request))
        return mark

    def remove(self, mark: str, watch: Watch) -> None:
        self._watches[mark].discard(watch)
        if not self._watches[mark]:
            del self._watches[mark]
            self._tasks.pop(mark).cancel()

    async def _keep_looking(self, mark: str, request: Request) -> None:
        """Until the key ends. A stream whose client is slow outlives it, and each further look would be one more wrong
        key from its address."""
        is_valid = True
        while is_valid:
            await asyncio.sleep(LOOK_SECONDS)
            is_valid = await _is_still_valid(request)
        for watch in self._watches[mark]:
            watch.stop("revoked")


async def _is_still_valid(request: Request) -> bool:
    try:
        await doorkeeper_of(request).identify(request)
    except InvalidApiKey:
        return False
    except (ScorekeeperError, Problem):
        return True
    return True
