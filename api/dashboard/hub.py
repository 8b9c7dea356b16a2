"""What changed among a project's goals, for everybody who watches: read once, whatever the number of watchers.

While a project is watched, one task reads its goals a few times a second and raises the revision of each goal that
changed. A watcher asks for what is newer than what he has: the latest wins, nothing queues up.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from app.errors import ScorekeeperError
from app.reporting import Report

READ_SECONDS = 0.25


@dataclass(slots=True)
class _Board:
    """A project that is watched."""

    watchers: int = 0
    revision: int = 0
    goals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Goal id -> the revision in which it changed last, and its JSON."""
    order: tuple[str, ...] = ()
    order_revision: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None


class Hub:
    """One a process. `read` reports a project's goals."""

    def __init__(self, read: Callable[[str], Awaitable[Report]]) -> None:
        self._read = read
        self._boards: dict[str, _Board] = {}
        self.boot = secrets.token_hex(4)
        self.closing = asyncio.Event()

    def watch(self, project: str) -> Watch:
        return Watch(self, project)

    def enter(self, project: str) -> _Board:
        board = self._boards.setdefault(project, _Board())
        board.watchers += 1
        if board.task is None:
            board.task = asyncio.get_running_loop().create_task(self._keep_reading(project, board))
        return board

    def leave(self, project: str) -> None:
        board = self._boards[project]
        board.watchers -= 1
        if board.watchers == 0:
            if board.task is not None:
                board.task.cancel()
            del self._boards[project]

    async def _keep_reading(self, project: str, board: _Board) -> None:
        while True:
            try:
                await self._update(board, await self._read(project))
            except ScorekeeperError:
                await self._tell(board, {"stale": True})
            await asyncio.sleep(READ_SECONDS)

    async def _update(self, board: _Board, report: Report) -> None:
        fresh = {item["id"]: json.dumps(item, separators=(",", ":"), default=str) for item in report.items}
        revision = board.revision + 1
        moved = {ident: text for ident, text in fresh.items() if board.goals.get(ident, (0, ""))[1] != text}
        order = tuple(fresh)
        state = {"stale": report.is_stale, "rebuilding": report.is_rebuilding}
        if not moved and order == board.order and state == board.state:
            return
        board.goals = {
            ident: (revision if ident in moved else board.goals[ident][0], text) for ident, text in fresh.items()
        }
        if order != board.order:
            board.order, board.order_revision = order, revision
        await self._tell(board, state)

    async def _tell(self, board: _Board, state: dict[str, Any]) -> None:
        async with board.changed:
            board.state = state
            board.revision += 1
            board.changed.notify_all()


class Watch:
    """One watcher: `async with hub.watch(project) as watch`, then `next` again and again."""

    def __init__(self, hub: Hub, project: str) -> None:
        self._hub = hub
        self._project = project
        self._seen = 0

    async def __aenter__(self) -> Self:
        self._board = self._hub.enter(self._project)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hub.leave(self._project)

    async def next(self, timeout_seconds: float) -> tuple[str, str] | None:
        """(event id, data) of what is newer than the last answer, the whole at first; None when nothing came."""
        board = self._board
        try:
            async with asyncio.timeout(timeout_seconds), board.changed:
                await board.changed.wait_for(lambda: board.revision > self._seen)
        except TimeoutError:
            return None
        seen, self._seen = self._seen, board.revision
        goals = ",".join(text for revision, text in board.goals.values() if revision > seen)
        order = json.dumps(board.order) if board.order_revision > seen else "null"
        state = json.dumps(board.state)
        return f"{self._hub.boot}-{board.revision}", f'{{"state":{state},"order":{order},"goals":[{goals}]}}'
