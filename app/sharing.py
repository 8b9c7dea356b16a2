"""Sharing: whoever asks while the same is being looked up gets the answer of the next look, never of an earlier one.
Only that a store is away is told to those who wait for the next look too: they must not wait for it twice.

So that an answer is never older than its question, and a crowd of readers costs no more than two at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.errors import StoreUnavailable
from app.patience import Leisure, leisure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Look(Generic[T]):
    task: asyncio.Task[T]
    leisure: Leisure


class SharedLooks(Generic[T]):
    """One look at a time for each key. Lives in one event loop."""

    def __init__(self) -> None:
        self._running: dict[str, _Look[T]] = {}
        self._next: dict[str, _Look[T]] = {}

    async def ask(self, key: str, look: Callable[[], Awaitable[T]]) -> T:
        """The answer of a look that begins after this call; raises what it raises. Who is cancelled stops nobody.

        A look that was begun at leisure makes haste once somebody in haste waits for it, or for its end.
        """
        asked = self._next.get(key) or self._begin(key, look)
        if leisure.get() is None:
            for one in (self._running.get(key), asked):
                if one is not None:
                    one.leisure.is_over = True
        return await asyncio.shield(asked.task)

    def is_running(self, key: str) -> bool:
        """Whether a look has begun and not ended."""
        return key in self._running

    async def wait_for_running(self, key: str) -> None:
        """Wait for the end of a look that has begun, if one has, in haste. Raises what it raises."""
        running = self._running.get(key)
        if running is not None:
            running.leisure.is_over = True
            await asyncio.shield(running.task)

    def look_ahead(self, key: str, look: Callable[[], Awaitable[T]]) -> None:
        """Begin a look for those who will ask, unless one is under way, which makes haste then."""
        under_way = self._running.get(key) or self._next.get(key) or self._begin(key, look)
        under_way.leisure.is_over = True

    def _begin(self, key: str, look: Callable[[], Awaitable[T]]) -> _Look[T]:
        own, context, before = Leisure(), copy_context(), self._running.get(key)
        context.run(leisure.set, own)
        task = asyncio.create_task(self._run(key, look, before.task if before else None), context=context)
        task.add_done_callback(retrieve)
        begun = self._next[key] = _Look(task, own)
        return begun

    async def _run(self, key: str, look: Callable[[], Awaitable[T]], before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._running[key] = self._next.pop(key)
        try:
            if before is not None and not before.cancelled() and isinstance(before.exception(), StoreUnavailable):
                return before.result()
            return await look()
        finally:
            del self._running[key]


def retrieve(look: asyncio.Task[T]) -> None:
    """For a task that several wait for: nobody may be left who wants to know what went wrong, and asyncio would log it
    as an error."""
    if not look.cancelled():
        look.exception()
