"""What became of goals' statuses, in SQL. Implements StatusChanges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from app.domain.status_changes import Cause, Observation, StatusChange
from app.stores.database import Database
from app.stores.tables import status_changes, versions

KEPT: Final = 1_000
"""The newest records of a goal that are kept: one that flickers must not fill the database."""


class SqlStatusChanges:
    """Blocking. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def watched(self) -> Sequence[str]:
        """The projects that have goals."""
        present = (versions.c.kind == "goal") & versions.c.effective_until.is_(None)
        with self._database.read() as connection:
            rows = connection.execute(select(versions.c.project).where(present).distinct())
            return sorted(row.project for row in rows)

    def last(self, project: str) -> Mapping[str, StatusChange]:
        """Goal -> its newest record."""
        of_project = status_changes.c.project == project
        newest = (
            select(status_changes.c.goal, func.max(status_changes.c.number).label("number"))
            .where(of_project)
            .group_by(status_changes.c.goal)
            .subquery()
        )
        query = select(status_changes).join(
            newest, (status_changes.c.goal == newest.c.goal) & (status_changes.c.number == newest.c.number)
        )
        with self._database.read() as connection:
            return {row.goal: _change(row) for row in connection.execute(query)}

    def add(self, project: str, changes: Sequence[StatusChange]) -> None:
        """Record them; one whose number another writer took is dropped. May be repeated."""
        if not changes:
            return
        rows = [_row(project, change) for change in changes]
        make = sqlite.insert if self._database.is_sqlite else postgresql.insert
        with self._database.write() as connection:
            connection.execute(make(status_changes).on_conflict_do_nothing(), rows)
            for change in changes:
                if change.number > KEPT:
                    old = status_changes.c.number <= change.number - KEPT
                    connection.execute(delete(status_changes).where((status_changes.c.goal == change.seen.goal) & old))

    def of(self, project: str, goal: str, limit: int) -> Sequence[StatusChange]:
        """A goal's newest changes, the newest last; not the records between which its status stayed."""
        mine = (status_changes.c.project == project) & (status_changes.c.goal == goal)
        query = select(status_changes).where(mine & (status_changes.c.before.is_not(None)))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(status_changes.c.number.desc()).limit(limit)).all()
            return [_change(row) for row in reversed(rows)]


def _row(project: str, change: StatusChange) -> dict[str, Any]:
    seen = asdict(change.seen)
    return {
        "goal": seen.pop("goal"),
        "number": change.number,
        "project": project,
        "at": seen.pop("at"),
        "before": change.before,
        "after": seen.pop("status"),
        "cause": str(change.cause),
        "seen": json.dumps(seen),
    }


def _change(row: Row[Any]) -> StatusChange:
    seen = Observation(goal=row.goal, at=row.at, status=row.after, **json.loads(row.seen))
    return StatusChange(row.number, row.before, Cause(row.cause), seen)
