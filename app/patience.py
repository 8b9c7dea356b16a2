"""Asking what may not answer: a blocking call in a thread, or a coroutine, within a time.

What hangs is given up, not ended: a thread cannot be. A store that hangs is a store that is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
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


async def keep_doing(complaint: str, seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    """Act for ever, with that pause. A failure is logged once, and the pause doubles until it is over; so too for a
    defect, which must not end what nobody would miss before he needs it."""
    pause = seconds
    while True:
        try:
            await act()
            pause = seconds
        except Exception as error:
            if pause == seconds:
                log.warning("%s: %s", complaint, error, exc_info=None if isinstance(error, ScorekeeperError) else error)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)
