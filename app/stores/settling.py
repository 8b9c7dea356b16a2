"""What is stored, while it is not settled yet when it begins to act; within a transaction.

A commit may take longer than what it brings may wait with its beginning, and its writer can only tell afterwards. Until
it has, nobody counts beyond that beginning (see `as_of`): so it may still be moved, however long the writer takes. Of a
writer that died, anybody settles it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, delete, func, insert, select, update

from app.domain.history import SETTLED_MS, TRUSTED_MS
from app.stores.tables import projects, unsettled, versions
from app.stores.version_rows import begin_later, successor_begins, to_version

Begins: TypeAlias = tuple[int, int]
"""A new revision, and when what it brings begins to act."""


def note_unsettled(connection: Connection, revision: int, acts_from: int, project: str | None = None) -> None:
    """To be called in the transaction that stores a version, or a project, with this beginning."""
    connection.execute(insert(unsettled).values(revision=revision, acts_from=acts_from, project=project))


def as_of(connection: Connection, now: int) -> int:
    """The moment from which all that is known may be trusted for TRUSTED_MS; `now` is the database's clock."""
    first = connection.execute(select(func.min(unsettled.c.acts_from))).scalar_one()
    return now if first is None else min(now, first - TRUSTED_MS)


def abandoned(connection: Connection, now: int) -> Sequence[int]:
    """The revisions of what a writer has not settled in time."""
    late = select(unsettled.c.revision).where(unsettled.c.acts_from < now - SETTLED_MS)
    return connection.execute(late).scalars().all()


def settle(connection: Connection, revisions: Sequence[int], now: int, begin: Callable[[str], Begins]) -> bool:
    """Let what was stored with these revisions begin when it was said to, or, where its commit may have been too late
    for that, when `begin` says of its project. Whether nothing was moved; what somebody else settled may have been."""
    is_kept = True
    for revision in revisions:
        mine = unsettled.c.revision == revision
        taken = delete(unsettled).where(mine).returning(unsettled.c.acts_from, unsettled.c.project)
        row = connection.execute(taken).one_or_none()
        is_late = row is not None and now > row.acts_from - TRUSTED_MS
        if row is None or is_late:
            is_kept = False
        if row is not None and is_late:
            _move(connection, revision, row.project, begin)
    return is_kept


def _move(connection: Connection, revision: int, project: str | None, begin: Callable[[str], Begins]) -> None:
    if project is not None:
        _, acts_from = begin(project)
        connection.execute(update(projects).where(projects.c.key == project).values(created_at=acts_from))
        return
    version = to_version(connection.execute(select(versions).where(versions.c.revision == revision)).one())
    new_revision, acts_from = begin(version.project)
    successor = successor_begins(connection, version)
    if successor is None:
        begin_later(connection, version, acts_from, new_revision)
    else:
        # Another writer has ended it meanwhile: it never acts, and keeps its place among the revisions.
        begin_later(connection, version, min(acts_from, successor), revision)
