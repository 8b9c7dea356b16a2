"""Where the answers to those wait who are turned away: a flood of wrong keys is slow, however many connections it has.

Each waits a while, and all together are answered at a rate that costs next to nothing: with more connections a sender
waits longer, and is not refused more often. What waits is a timer and a connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

LEAST_SECONDS: Final = 1.2
PER_SECOND: Final = 100
MOST_WAITING: Final = 4_000
"""Forty seconds' worth. Who comes then is answered at once, and has to connect again."""


class LateAnswers:
    """Coroutines of one event loop."""

    def __init__(
        self, *, least_seconds: float = LEAST_SECONDS, per_second: float = PER_SECOND, most_waiting: int = MOST_WAITING
    ) -> None:
        self._least_seconds = least_seconds
        self._pause = 1 / per_second
        self._most_waiting = most_waiting
        self._last = 0.0
        """When the last of those who wait has his turn, in the loop's time."""
        self._waiting = 0
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait_for_turn(self) -> bool:
        """False, at once, when too many wait already."""
        if self._waiting >= self._most_waiting:
            return False
        self._loop = loop = asyncio.get_running_loop()
        self._last = turn = max(loop.time() + self._least_seconds, self._last + self._pause)
        self._waiting += 1
        try:
            async with asyncio.timeout_at(turn):
                await self._ending.wait()
        except TimeoutError:
            pass  # it is his turn
        finally:
            self._waiting -= 1
        return True

    def end_soon(self) -> None:
        """From a signal handler: nobody waits any longer."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
