"""What became of goals' statuses, in SQL. Implements StatusChanges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from app.domain.status_changes import Cause, Observation, StatusChange
from app.stores.database import Database
from app.stores.tables import status_changes, versions

KEPT: Final = 1_000
"""The newest records of a goal that are kept: one that flickers must not fill the database."""
_AT_ONCE: Final = 500
"""Goals named in one query: databases take so many values and not any number."""
_Mark: TypeAlias = "tuple[int, int]"
"""The greatest number and the latest moment of a goal's records: a goal that was deleted may come again."""


class SqlStatusChanges:
    """Blocking. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: dict[str, dict[str, tuple[_Mark, StatusChange]]] = {}
        """By project and goal, with what tells whether it is still the newest."""

    def watched(self) -> Sequence[str]:
        """The projects that have goals."""
        present = (versions.c.kind == "goal") & versions.c.effective_until.is_(None)
        with self._database.read() as connection:
            rows = connection.execute(select(versions.c.project).where(present).distinct())
            return sorted(row.project for row in rows)

    def last(self, project: str) -> Mapping[str, StatusChange]:
        """Goal -> its newest record. Who asks again and again reads whole records only where there are new ones."""
        goal, number, at = status_changes.c.goal, status_changes.c.number, status_changes.c.at
        newest = (
            select(goal, func.max(number).label("number"), func.max(at).label("at"))
            .where(status_changes.c.project == project)
            .group_by(goal)
        )
        known = self._newest.get(project, {})
        with self._database.read() as connection:
            marks = {row.goal: (row.number, row.at) for row in connection.execute(newest)}
            missing = [one for one, mark in marks.items() if one not in known or known[one][0] != mark]
            found = {one: known[one] for one in marks.keys() - missing}
            for first in range(0, len(missing), _AT_ONCE):
                inner = newest.where(goal.in_(missing[first : first + _AT_ONCE])).subquery()
                query = select(status_changes).join(inner, (goal == inner.c.goal) & (number == inner.c.number))
                for row in connection.execute(query):
                    found[row.goal] = (marks[row.goal], _change(row))
        self._newest[project] = found
        return {one: change for one, (_, change) in found.items()}

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
