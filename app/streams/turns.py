"""Work on several partitions at once, each partition's in the order in which it was begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class Turns:
    """Runs at most `most` pieces of work at a time. `on_end` is called with the task of each that ended."""

    def __init__(self, most: int, on_end: Callable[[asyncio.Task[None]], None]) -> None:
        self._most = most
        self._on_end = on_end
        self._last: dict[Hashable, asyncio.Task[None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def begin(self, partition: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Begin the work when what was begun before on the partition has ended; returns when there is room for more."""
        task = asyncio.create_task(_run_after(self._last.get(partition), work))
        task.add_done_callback(self._on_end)
        self._last[partition] = task
        self._under_way.add(task)
        # Folding does not wait for anything: let it begin before more is fetched.
        await asyncio.sleep(0)
        while len(self._under_way) >= self._most:
            _, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def cancel(self) -> None:
        """End all that is under way."""
        for task in self._under_way:
            task.cancel()


async def _run_after(before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await work()
