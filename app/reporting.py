"""The read path: goals with their progress, as every reader sees them: the API, the page, the command line.

Here is decided how new an answer has to be, and who shares it. A list costs one SQL read and one read of the counters,
whatever the number of goals (listing.py). When a store is away, the last known answer is given, marked stale
(answers.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from app.answers import KnownAnswers
from app.answers import Report as Report
from app.domain.history import DefinitionVersion, Project
from app.domain.progress import DEFAULT_THRESHOLDS, Thresholds
from app.domain.status_changes import StatusChange
from app.goal_items import status_change_item
from app.last_lists import LastList, LastLists
from app.listing import Lister
from app.patience import Patience, within
from app.ports import CounterReader, DefinitionStore
from app.sharing import SharedLooks

PATIENCE_SECONDS = 1.2
MANY_GOALS = 100
"""A list of fewer is made sooner than it is found out whether it has to be."""
_SHOWN_CHANGES = 100


class RecordedChanges(Protocol):
    """Where changes of status are found. Blocking; raises StoreUnavailable."""

    def of(self, project: str, goal: str, limit: int) -> Sequence[StatusChange]: ...


class Reporter:
    """Coroutines; raise StoreUnavailable when nothing is known, and NotFound."""

    def __init__(
        self,
        definitions: DefinitionStore,
        counters: CounterReader,
        changes: RecordedChanges,
        *,
        thresholds: Thresholds = DEFAULT_THRESHOLDS,
    ) -> None:
        self._definitions = definitions
        self._changes = changes
        self._lister = Lister(definitions, counters, thresholds)
        self._answers = KnownAnswers()
        self._last_lists = LastLists()
        self._looks: SharedLooks[Report] = SharedLooks()
        self._present: SharedLooks[Sequence[DefinitionVersion]] = SharedLooks()

    async def list_goals(self, project: str, now: int) -> Report:
        """The project's goals, oldest first. Never older than the question."""
        return await self._answers.or_stale(("goals", project), self._look(project, now))

    async def list_for_a_crowd(self, project: str, now: int, at_most: float) -> Report:
        """The same for those who ask often: the last list of many goals is given again for five times as long as it
        took to make, a quarter of a second at most, and while the next one is being made, a second at most. Its
        definitions are never older than the question.

        Who asks has to answer within `at_most` seconds, and gets what was known before when that takes longer, behind a
        look that is slow and one that hangs.
        """
        asked = within(at_most, "a store", self._last_or_next(project, now))
        return await self._answers.or_stale(("goals", project), asked)

    async def goal(self, project: str, ident: str, now: int) -> Report:
        """One goal, with its history points by hour and by day, and the changes of its status."""
        return await self._answers.or_stale(("goal", project, ident), self._goal(project, ident, now))

    async def list_conversion_goals(self, project: str) -> Report:
        """The project's conversion goals, oldest first, with how often and when they matched."""
        return await self._answers.or_stale(("conversion goals", project), self._list_conversion_goals(project))

    async def _last_or_next(self, project: str, now: int) -> Report:
        last = self._last_lists.of(project)
        if last is None or len(last.made.versions) < MANY_GOALS:
            return await self._look(project, now)
        report = await self._last(project, now)
        if report is None:
            # The next list may be on its way: who waited for it and for another one after it would wait twice.
            await self._looks.wait_for_running(project)
            report = await self._last(project, now)
        return await self._look(project, now) if report is None else report

    async def _last(self, project: str, now: int) -> Report | None:
        """The last list, while it may serve a crowd. The next one is begun when it will be needed."""
        if self._servable(project) is None:
            return None
        present = await self._present.ask(project, partial(self._versions, project))
        # It may be another one by now, or none.
        last = self._servable(project)
        if last is None or last.made.versions is not present:
            return None
        if last.is_next_due(time.monotonic()):
            self._looks.look_ahead(project, partial(self._list_all, project, now))
        return last.made.report

    def _servable(self, project: str) -> LastList | None:
        last, is_next_under_way = self._last_lists.of(project), self._looks.is_running(project)
        if last is None or not last.may_serve(time.monotonic(), is_next_under_way=is_next_under_way):
            return None
        return last

    async def _look(self, project: str, now: int) -> Report:
        return await self._looks.ask(project, partial(self._list_all, project, now))

    async def _list_all(self, project: str, now: int) -> Report:
        """The last list of many goals, where the same would be made again."""
        patience, begun = Patience(PATIENCE_SECONDS), time.monotonic()
        owner, versions = await patience.wait("sql", asyncio.to_thread(self._definitions.current, project, "goal"))
        last = self._last_lists.of(project)
        if last is not None and await self._stands(last, owner, versions, now, patience):
            last = replace(last, stood_at=time.monotonic())
        else:
            made = await self._lister.goals(owner, versions, now, patience, is_whole=False)
            is_moving = last is not None and last.made.mark != made.mark
            ended = time.monotonic()
            last = LastList(made, took=ended - begun, stood_at=ended, is_moving=is_moving)
        self._last_lists.keep(project, last)
        return last.made.report

    async def _stands(
        self, last: LastList, owner: Project, versions: Sequence[DefinitionVersion], now: int, patience: Patience
    ) -> bool:
        if last.is_moving or len(versions) < MANY_GOALS:
            return False
        return await self._lister.would_make_again(last.made, owner, versions, now, patience)

    async def _versions(self, project: str) -> Sequence[DefinitionVersion]:
        return (await asyncio.to_thread(self._definitions.current, project, "goal"))[1]

    async def _goal(self, project: str, ident: str, now: int) -> Report:
        patience = Patience(PATIENCE_SECONDS)
        owner, _ = await patience.wait("sql", asyncio.to_thread(self._definitions.current, project, "goal"))
        version = await patience.wait("sql", asyncio.to_thread(self._definitions.get, project, "goal", ident))
        report = (await self._lister.goals(owner, [version], now, patience, is_whole=True)).report
        changes = await patience.wait("sql", asyncio.to_thread(self._changes.of, project, ident, _SHOWN_CHANGES))
        items = [
            {**item, "statusChanges": [status_change_item(change, item) for change in changes]} for item in report.items
        ]
        return replace(report, items=items, memo={})

    async def _list_conversion_goals(self, project: str) -> Report:
        patience = Patience(PATIENCE_SECONDS)
        ask = asyncio.to_thread(self._definitions.current, project, "conversion_goal")
        _, versions = await patience.wait("sql", ask)
        return await self._lister.conversion_goals(project, versions, patience)
