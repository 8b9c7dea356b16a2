"""Waiting, without end, for what does not answer: the same call again and again until it does.

For workers, who have nothing better to do; who has to answer somebody has patience (patience.py) instead.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

log = logging.getLogger(__name__)

T = TypeVar("T")


class Waiting:
    """Pauses between two calls grow up to `longest_pause_seconds`, at random."""

    def __init__(self, longest_pause_seconds: float, *, for_what: str = "") -> None:
        self._longest_pause_seconds = longest_pause_seconds
        # Not an argument: by the message logs know what the cause is.
        self._message = f"waiting {for_what}".rstrip() + ": %s"
        self._number = 0

    @property
    def is_going_on(self) -> bool:
        """Whether a call is being repeated."""
        return self._number > 0

    async def until_answered(
        self, call: Callable[[], Awaitable[T]], is_no_answer: Callable[[BaseException], bool]
    ) -> T:
        """The call's result. Raises what the call raises, unless that is no answer: then the call is repeated."""
        try:
            # Nearly always this is all. What repeats is a circle of objects, and would keep each batch in memory until
            # the collector comes by.
            return await call()
        except Exception as error:
            if not is_no_answer(error):
                raise
            log.warning(self._message, error)
        self._number += 1
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(is_no_answer),
                wait=wait_random_exponential(multiplier=0.02, max=self._longest_pause_seconds),
                before_sleep=self._log,
                reraise=True,
            ):
                with attempt:
                    return await call()
        finally:
            self._number -= 1
        raise AssertionError

    def _log(self, state: RetryCallState) -> None:
        log.warning(self._message, state.outcome.exception() if state.outcome else "")
