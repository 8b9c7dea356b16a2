"""Records when a goal's status became another one, and why. Beside counting: it reads what every reader sees.

Any number of processes may record at once, and each may die at any point. Whoever records reads the newest record
before he reads the goals, so that what he sees is never older; and a record's number is taken once, so that a change
that two noticed is recorded once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.domain.status_changes import StatusChange, next_change, observe
from app.patience import REST, ProjectTurns, giving_way, keep_doing
from app.reporting import Reporter

LOOK_SECONDS = 1.0
_COMPLAINT = "no status change is recorded"


class StatusChanges(Protocol):
    """Where changes are recorded. Blocking; raises StoreUnavailable."""

    def watched(self) -> Sequence[str]: ...
    def last(self, project: str) -> Mapping[str, StatusChange]: ...
    def add(self, project: str, changes: Sequence[StatusChange]) -> None: ...


class StatusRecorder:
    """Looks at every project with goals, again and again."""

    def __init__(self, changes: StatusChanges, reporter: Reporter, now: Callable[[], int]) -> None:
        self._changes = changes
        self._reporter = reporter
        self._now = now
        self._turns = ProjectTurns(_COMPLAINT)

    async def record(self) -> int:
        """Look once; returns how many records were made. Raises ScorekeeperError, after all that can be looked at."""
        return await self._turns.give(await asyncio.to_thread(self._changes.watched), self._record)

    async def _record(self, project: str) -> int:
        last = await asyncio.to_thread(self._changes.last, project)
        now = self._now()
        report = await self._reporter.list_goals(project, now)
        if report.is_stale or report.is_rebuilding:
            return 0
        changes = []
        async for item in giving_way(report.items):
            seen = observe(item, now)
            change = next_change(last.get(seen.goal), seen) if seen is not None else None
            if change is not None:
                changes.append(change)
        await asyncio.to_thread(self._changes.add, project, changes)
        return len(changes)

    async def keep_recording(self) -> None:
        """Look for ever."""
        await keep_doing(_COMPLAINT, LOOK_SECONDS, self.record, rest=REST)
