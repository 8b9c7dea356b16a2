"""What changed among a project's goals, for everybody who watches: read once, whatever the number of watchers.

While a project is watched, one task reads its goals five times a second and raises the revision of each goal that
changed. A watcher asks for what is newer than what he has: the latest wins, nothing queues up, and a frame is written
once for all who have the same. What only time moves (the pace, the projection) counts as a change when it can be seen.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import msgspec

from app.domain.moments import rfc3339
from app.errors import ScorekeeperError
from app.patience import giving_way
from app.reporting import Report

log = logging.getLogger(__name__)

READ_SECONDS = 0.2
KEPT_BOARDS = 200
"""Boards that nobody watches any more, for those who come back and name what they have."""
PACE_STEPS = 400
"""A pace that moves by less than this share of the target is not seen on any bar."""


class _Shown(NamedTuple):
    """A goal on a board."""

    revision: int
    """In which it changed last."""
    item: Mapping[str, Any]
    mark: object
    """What has to differ for it to have changed."""
    text: str
    """As it was sent last."""


@dataclass(slots=True)
class _Board:
    """A project that is watched, or was a moment ago. Revisions count up for the board's whole life."""

    project: str
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    watchers: int = 0
    revision: int = 0
    goals: dict[str, _Shown] = field(default_factory=dict)
    """By goal id."""
    order: tuple[str, ...] = ()
    order_revision: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    is_current: bool = False
    """Whether it was read since somebody came back to it."""
    frames: dict[int, str] = field(default_factory=dict)
    waiting: set[asyncio.Future[None]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        for future in self.waiting:
            _resolve(future)

    def frame(self, seen: int) -> str:
        """All that is newer than revision `seen`, as JSON."""
        if seen not in self.frames:
            goals = ",".join(one.text for one in self.goals.values() if one.revision > seen)
            order = json.dumps(self.order) if self.order_revision > seen else "null"
            head = json.dumps({"project": self.project, "state": self.state}, separators=(",", ":"))
            self.frames[seen] = f'{head[:-1]},"order":{order},"goals":[{goals}]}}'
        return self.frames[seen]


class Hub:
    """One a process. `read` reports a project's goals."""

    def __init__(self, read: Callable[[str], Awaitable[Report]]) -> None:
        self._read = read
        self._boards: dict[str, _Board] = {}
        self._left: OrderedDict[str, _Board] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_closing = False

    def watch(self, project: str, after: str | None = None) -> Watch:
        """`after`: the id of the last event that the watcher had; from another process or time, it means nothing."""
        return Watch(self, project, after)

    def close_soon(self) -> None:
        """From a signal handler: let all watchers end."""
        self.is_closing = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for board in self._boards.values():
            board.wake()

    def enter(self, project: str) -> _Board:
        self._loop = asyncio.get_running_loop()
        board = self._boards.get(project)
        if board is None:
            board = self._boards[project] = self._left.pop(project, _Board(project))
            board.task = self._loop.create_task(self._keep_reading(board))
        board.watchers += 1
        return board

    def leave(self, board: _Board) -> None:
        board.watchers -= 1
        if board.watchers or board.task is None:
            return
        board.task.cancel()
        board.is_current = False
        self._left[board.project] = self._boards.pop(board.project)
        while len(self._left) > KEPT_BOARDS:
            self._left.popitem(last=False)

    async def _keep_reading(self, board: _Board) -> None:
        while True:
            begun = time.monotonic()
            try:
                await self._update(board, await self._read(board.project))
            except ScorekeeperError:
                self._tell(board, {"stale": True, "freshAsOf": board.state.get("freshAsOf")})
            except Exception:
                log.exception("the goals of a watched project cannot be read")
                self._tell(board, {"stale": True, "freshAsOf": board.state.get("freshAsOf")})
            # Of a project with thousands of goals that may take longer than the pause.
            await asyncio.sleep(max(READ_SECONDS, time.monotonic() - begun))

    async def _update(self, board: _Board, report: Report) -> None:
        revision = board.revision + 1
        goals: dict[str, _Shown] = {}
        has_moved = False
        async for item in giving_way(report.items):
            ident = item["id"]
            known = board.goals.get(ident)
            if known is not None and known.item is item:
                # The reporter gives the same object again for what stands as it stood.
                goals[ident] = known
                continue
            mark = _mark(item)
            if known is not None and known.mark == mark:
                goals[ident] = known._replace(item=item)
            else:
                has_moved = True
                goals[ident] = _Shown(revision, item, mark, msgspec.json.encode(item).decode())
        board.goals = goals
        order = tuple(goals)
        if order != board.order:
            has_moved = True
            board.order, board.order_revision = order, revision
        # To the second: counting goes on all the time, and nobody reads more of it.
        fresh = None if report.fresh_as_of is None else rfc3339(report.fresh_as_of // 1000 * 1000)
        state = {"stale": report.is_stale, "rebuilding": report.is_rebuilding, "freshAsOf": fresh}
        self._tell(board, state, has_moved=has_moved)

    def _tell(self, board: _Board, state: dict[str, Any], *, has_moved: bool = False) -> None:
        is_first = not board.is_current
        board.is_current = True
        if has_moved or state != board.state:
            board.state = state
            board.revision += 1
            board.frames = {}
        elif not is_first:
            return
        board.wake()


def _mark(item: Mapping[str, Any]) -> object:
    """What has to differ for a goal to have changed."""
    steady = {name: value for name, value in item.items() if name not in _TIME_DRIVEN}
    target = abs(item.get("target") or 0) or 1
    seen = [
        None if item.get(name) is None else round(item[name] / target * PACE_STEPS)
        for name in ("expected", "projected")
    ]
    return steady, seen, str(item.get("projectedAt"))[:13]


_TIME_DRIVEN = frozenset({"expected", "projected", "projectedAt", "freshAsOf"})


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Watch:
    """One watcher: `async with hub.watch(project) as watch`, then `next` again and again."""

    def __init__(self, hub: Hub, project: str, after: str | None) -> None:
        self._hub = hub
        self._project = project
        self._after = after or ""
        self._future: asyncio.Future[None] | None = None
        self._is_stopped = False
        self._cause: str | None = None
        self._seen = 0

    async def __aenter__(self) -> Self:
        self._board = self._hub.enter(self._project)
        token, _, revision = self._after.partition("-")
        if token == self._board.token and revision.isascii() and revision.isdigit():
            self._seen = int(revision) if int(revision) <= self._board.revision else 0
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hub.leave(self._board)

    @property
    def is_ending(self) -> bool:
        """Whether it was stopped, or the process ends."""
        return self._is_stopped or self._hub.is_closing

    @property
    def cause(self) -> str | None:
        """Why it is ending."""
        return self._cause if self._is_stopped else "closing"

    def stop(self, cause: str | None) -> None:
        """Let `next` return at once, from now on. None: the watcher left."""
        self._is_stopped, self._cause = True, cause
        if self._future is not None:
            _resolve(self._future)

    async def next(self, timeout_seconds: float) -> tuple[str, str] | None:
        """(event id, data) of what is newer than the last answer, the whole at first; None when nothing came."""
        board = self._board
        if not self._has_news():
            await self._wait(timeout_seconds)
        if self.is_ending or not self._has_news():
            return None
        seen, self._seen = self._seen, board.revision
        return f"{board.token}-{board.revision}", board.frame(seen)

    def _has_news(self) -> bool:
        return self._board.is_current and self._board.revision > self._seen

    async def _wait(self, timeout_seconds: float) -> None:
        if self.is_ending:
            return
        loop = asyncio.get_running_loop()
        self._future = future = loop.create_future()
        timer = loop.call_later(timeout_seconds, _resolve, future)
        self._board.waiting.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._board.waiting.discard(future)
