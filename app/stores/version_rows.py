"""Rows of projects and of definitions' versions, within a transaction: read, judged, ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from app.domain.conversion_goal import FOREVER
from app.domain.declaring import Step
from app.domain.history import DefinitionVersion, Project
from app.errors import Conflict, NotFound
from app.ports import Change
from app.stores.alert_rows import ANOTHER_ID
from app.stores.database import can_be_stored
from app.stores.tables import catalog, projects, versions


def wait_in_line(connection: Connection) -> None:
    """Hold what every writer holds, until the transaction ends: of two that come at once, the second sees what the
    first wrote."""
    connection.execute(update(catalog).values(revision=catalog.c.revision))


def raise_revision(connection: Connection) -> int:
    """The new revision of the catalog. Writers wait for each other here, until the transaction ends."""
    raised = update(catalog).values(revision=catalog.c.revision + 1).returning(catalog.c.revision)
    return int(connection.execute(raised).scalar_one())


def mark_changed(connection: Connection, project: str, revision: int) -> None:
    """Say that this revision changed the project."""
    connection.execute(update(projects).where(projects.c.key == project).values(revision=revision))


def require_no_project(connection: Connection, key: str) -> None:
    """Raises Conflict when the key is taken."""
    if connection.execute(select(projects.c.key).where(projects.c.key == key)).one_or_none() is not None:
        raise Conflict(f"there is a project {key!r} already")


def select_present(project: str, kind: str | None) -> Select[Any]:
    """The versions that act, or are about to; of every kind where none is named."""
    query = select(versions).where(versions.c.project == project, versions.c.effective_until.is_(None))
    return query if kind is None else query.where(versions.c.kind == kind)


def get_present(connection: Connection, project: str, kind: str, ident: str) -> DefinitionVersion:
    """Raises NotFound, for another project's just like for a missing one."""
    query = select_present(project, kind).where(versions.c.id == ident)
    row = connection.execute(query).one_or_none() if can_be_stored(ident) else None
    if row is None:
        raise NotFound(kind.replace("_", " "), ident)
    return to_version(row)


@dataclass(frozen=True, slots=True)
class Born:
    """Whose an id is, and since when."""

    project: str
    kind: str
    created_at: int
    is_present: bool


def find_born(connection: Connection, ident: str) -> Born | None:
    """None for an id that nothing ever had."""
    rows = connection.execute(select(versions).where(versions.c.id == ident)).all()
    if not rows:
        return None
    is_present = any(row.effective_until is None for row in rows)
    return Born(rows[0].project, rows[0].kind, min(row.created_at for row in rows), is_present)


def id_taken(ident: str) -> Conflict:
    """What to raise of an id that another definition has, or had."""
    return Conflict(f"the id {ident!r} is already another definition's; {ANOTHER_ID}")


def as_planned(step: Step) -> Change:
    """The step's body, if the definition is still the one that the plan was made from."""

    def change(before: DefinitionVersion) -> Mapping[str, object]:
        if before.revision != step.revision:
            raise Conflict(f"{step.id} was changed after the plan was made; plan again")
        return step.after

    return change


def end_present(connection: Connection, ident: str, acts_until: int) -> None:
    """End the version that acts, `acts_until` in epoch ms."""
    # A version that has not begun to act yet ends before it begins, and never acts.
    present = (versions.c.id == ident) & versions.c.effective_until.is_(None)
    connection.execute(update(versions).where(present).values(effective_until=acts_until))


def successor_begins(connection: Connection, version: DefinitionVersion) -> int | None:
    """When what came after this version, another one or a grave, begins to act; None where nothing did."""
    later = (versions.c.id == version.id) & (versions.c.revision > version.revision)
    found: int | None = connection.execute(select(func.min(versions.c.effective_from)).where(later)).scalar_one()
    return found


def read_again(connection: Connection, version: DefinitionVersion) -> DefinitionVersion:
    """A stored version, or a grave, as it is now: it may have got a later revision."""
    mine = (versions.c.id == version.id) & (versions.c.revision >= version.revision)
    return to_version(connection.execute(select(versions).where(mine).order_by(versions.c.revision).limit(1)).one())


def begin_later(connection: Connection, version: DefinitionVersion, acts_from: int, revision: int) -> DefinitionVersion:
    """Let a stored version, or a grave, begin then, and what it ended act until then; returns it as it is now."""
    begins = version.effective_from
    is_grave = version.effective_until == begins
    moved = replace(
        version,
        revision=revision,
        effective_from=acts_from,
        effective_until=acts_from if is_grave else version.effective_until,
        created_at=acts_from if version.created_at == begins else version.created_at,
    )
    # What ended before it began must not begin to act.
    ended = (versions.c.effective_until == begins) & (versions.c.effective_from < begins)
    connection.execute(update(versions).where(versions.c.id == version.id, ended).values(effective_until=acts_from))
    mine = (versions.c.id == version.id) & (versions.c.revision == version.revision)
    times: dict[str, Any] = {"effective_from": acts_from, "created_at": moved.created_at, "revision": revision}
    if is_grave:
        times["effective_until"] = acts_from
    connection.execute(update(versions).where(mine).values(**times))
    return moved


def to_version(row: Row[Any]) -> DefinitionVersion:
    until = FOREVER if row.effective_until is None else row.effective_until
    body = json.loads(row.body)
    return DefinitionVersion(
        row.kind, row.id, row.project, row.revision, row.effective_from, until, row.created_at, body
    )


def to_row(version: DefinitionVersion, *, is_deleted: bool = False) -> dict[str, Any]:
    return {
        "id": version.id,
        "revision": version.revision,
        "kind": version.kind,
        "project": version.project,
        "created_at": version.created_at,
        "effective_from": version.effective_from,
        "effective_until": None if version.effective_until == FOREVER else version.effective_until,
        "is_deleted": int(is_deleted),
        "body": json.dumps(version.body),
    }


def to_project(row: Row[Any]) -> Project:
    return Project(row.key, row.name, row.time_zone, row.created_at)


def read_projects(connection: Connection) -> list[Project]:
    return [to_project(row) for row in connection.execute(select(projects).order_by(projects.c.key))]
