"""Where the answers to those wait who are turned away: a flood of wrong keys is slow, however many connections it has.

Each waits a while, and all together are answered at a rate that costs next to nothing. A flood has more connections
than that gives turns to: then those have theirs first who did not wait for long yet, so that it is the flood's own
connections that hang, and not somebody who mistyped a key beside it. What waits is a connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LEAST_SECONDS: Final = 1.2
MOST_SECONDS: Final = 2.0
"""Who waited for so long has his turn when nobody else's is due."""
PER_SECOND: Final = 100
MOST_WAITING: Final = 4_000
"""Who comes then is answered at once, and has to connect again."""


class LateAnswers:
    """Coroutines of one event loop."""

    def __init__(
        self,
        *,
        least_seconds: float = LEAST_SECONDS,
        most_seconds: float = MOST_SECONDS,
        per_second: float = PER_SECOND,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._least_seconds = least_seconds
        self._most_seconds = most_seconds
        self._pause = 1 / per_second
        self._most_waiting = most_waiting
        # Who waits goes through these, from when he came until his turn.
        self._new: deque[_Waiting] = deque()
        self._due: deque[_Waiting] = deque()
        self._overdue: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        """When somebody had his turn, in the loop's time."""
        self._is_ending = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """How many."""
        return len(self._new) + len(self._due) + len(self._overdue)

    async def wait_for_turn(self) -> bool:
        """False, at once, when too many wait already."""
        if self.waiting >= self._most_waiting:
            return False
        if not self._is_ending:
            self._loop = loop = asyncio.get_running_loop()
            mine = _Waiting(loop)
            self._new.append(mine)
            self._plan_turn(loop)
            await mine.turn
        return True

    def _plan_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self.waiting:
            first = 0.0 if self._due or self._overdue else self._new[0].since + self._least_seconds
            self._timer = loop.call_at(max(first, self._last + self._pause), self._give_turn, loop)

    def _give_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, now = None, loop.time()
        _move(self._new, self._due, self._least_seconds, now)
        _move(self._due, self._overdue, self._most_seconds, now)
        if self._due or self._overdue:
            self._last = now
            (self._due.popleft() if self._due else self._overdue.pop()).end()
        self._plan_turn(loop)

    def end_soon(self) -> None:
        """From a signal handler: nobody waits any longer."""
        self._is_ending = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for waiting in (*self._new, *self._due, *self._overdue):
            waiting.end()


class _Waiting:
    """One who waits for his turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.since = loop.time()
        self.turn = loop.create_future()

    def end(self) -> None:
        # He may have gone away.
        if not self.turn.done():
            self.turn.set_result(None)


def _move(waiting: deque[_Waiting], to: deque[_Waiting], seconds: float, now: float) -> None:
    while waiting and waiting[0].since + seconds <= now:
        to.append(waiting.popleft())
