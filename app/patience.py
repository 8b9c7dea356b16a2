"""Asking what may not answer: a blocking call in a thread, or a coroutine, within a time. And long work, done so that
others need no patience with it.

What hangs is given up, not ended: a thread cannot be. A store that hangs is a store that is away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from app.errors import ScorekeeperError, StoreUnavailable

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_PAUSE_SECONDS = 60.0
"""After failures the pause doubles, up to this."""
SQL_SECONDS = 1.3
"""For SQL, where somebody waits: with looking up the key again, half a second, it stays below the two seconds that an
answer may take."""
SLICE_SECONDS = 0.0005
LEISURE_TURNS = 8
IDLE_SECONDS = 0.0002
"""A turn of the event loop that takes less had nothing to do."""
REST = 4.0
"""For those who look at every goal: a fifth of a process's time at most, however many there are."""


async def ask_sql(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The call's result, from a thread. Raises StoreUnavailable when it takes longer than SQL_SECONDS.

    It may then still take effect, as with any connection that breaks before the answer.
    """
    return await within(SQL_SECONDS, "sql", asyncio.to_thread(call, *args, **kwargs))


async def within(seconds: float, store: str, asked: Awaitable[T]) -> T:
    """The answer, or StoreUnavailable(`store`) after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except TimeoutError as error:
        raise StoreUnavailable(store, f"no answer within {seconds:g} s") from error


class Patience:
    """How long somebody waits for stores in all. What is worked out between two answers is not waiting."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    async def wait(self, store: str, asked: Awaitable[T]) -> T:
        """The answer, or StoreUnavailable(`store`) when none is left."""
        begun = time.monotonic()
        try:
            return await within(max(0.0, self._left), store, asked)
        finally:
            self._left -= time.monotonic() - begun


class Leisure:
    """Of work that nobody waits for, until somebody does: it gives way until nobody else has anything to do."""

    def __init__(self) -> None:
        self.is_over = False


leisure: ContextVar[Leisure | None] = ContextVar("leisure", default=None)
"""Of a task, and of those that it begins; None in haste."""


async def giving_way(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, where others of the event loop get their turn after every SLICE_SECONDS of work on them: who wants one
    goal does not wait for a list of ten thousand."""
    turn = time.perf_counter()
    for item in items:
        yield item
        if time.perf_counter() - turn > SLICE_SECONDS:
            await _give_way()
            turn = time.perf_counter()


async def _give_way() -> None:
    own = leisure.get()
    for _ in range(1 if own is None or own.is_over else LEISURE_TURNS):
        begun = time.perf_counter()
        await asyncio.sleep(0)
        if time.perf_counter() - begun < IDLE_SECONDS:
            break


class ProjectTurns:
    """Work for one project after another, again and again: what fails for one keeps no other from its turn."""

    def __init__(self, complaint: str) -> None:
        self._complaint = complaint
        self._defective: set[str] = set()

    async def give(self, projects: Iterable[str], act: Callable[[str], Awaitable[int]]) -> int:
        """What `act` gave for all of them together. Raises ScorekeeperError, after all had their turn.

        A defect is logged instead, once until it is over: a pause would be one for the others too.
        """
        given = 0
        failure: ScorekeeperError | None = None
        for project in projects:
            try:
                given += await act(project)
            except ScorekeeperError as error:
                failure = error
            except Exception as error:
                if project not in self._defective:
                    log.warning("%s of the project %s: %s", self._complaint, project, error, exc_info=error)
                self._defective.add(project)
            else:
                self._defective.discard(project)
        if failure is not None:
            raise failure
        return given


async def keep_doing(
    complaint: str, seconds: float, act: Callable[[], Awaitable[object]], *, rest: float = 0.0
) -> None:
    """Act for ever, with that pause, and at least `rest` times as long as it took. A failure is logged once, and the
    pause doubles until it is over; so too for a defect, which must not end what nobody would miss before he needs it.
    All of it is done at leisure.
    """
    leisure.set(Leisure())
    failing = seconds
    while True:
        begun = time.monotonic()
        try:
            await act()
            failing = seconds
            pause = max(seconds, min(rest * (time.monotonic() - begun), LONGEST_PAUSE_SECONDS))
        except Exception as error:
            if failing == seconds:
                log.warning("%s: %s", complaint, error, exc_info=None if isinstance(error, ScorekeeperError) else error)
            pause = failing = min(2 * failing, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)
