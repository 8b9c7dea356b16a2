"""Definitions and projects in SQL: the source of truth. Implements DefinitionSource and DefinitionStore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select

from app.domain.conversion_goal import FOREVER
from app.domain.declaring import ALERT, Step, Work
from app.domain.definition_fields import differing
from app.domain.history import EFFECTIVE_LEAD_MS, DefinitionHistory, DefinitionVersion, Project
from app.errors import NotFound
from app.ports import Change
from app.stores.alert_rows import carry_out_alerts
from app.stores.auditing import COMMAND_LINE, write_audit
from app.stores.database import Database
from app.stores.settling import abandoned, as_of, note_unsettled, settle
from app.stores.tables import audit, catalog, projects, versions
from app.stores.version_rows import (
    as_planned,
    end_present,
    find_born,
    get_present,
    id_taken,
    mark_changed,
    raise_revision,
    read_again,
    read_projects,
    require_no_project,
    select_present,
    to_project,
    to_row,
    to_version,
)

_KEPT = 500
"""Lists of definitions that are remembered."""
_REVISION = select(catalog.c.revision)


class SqlDefinitions:
    """Blocking. Every change is one transaction with its catalog revision and its audit entry."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._present: dict[tuple[str, str | None], tuple[int, Project, list[DefinitionVersion]]] = {}

    # -- reading

    def revision(self) -> tuple[int, int]:
        while True:
            with self._database.read() as connection:
                now = self._database.now(connection)
                left = abandoned(connection, now)
                if not left:
                    return connection.execute(_REVISION).scalar_one(), as_of(connection, now)
            self._settle(left)

    def history(self, since: int | None = None) -> DefinitionHistory:
        with self._database.read() as connection:
            # The clock first: what is committed after this moment is not promised to be seen.
            now = self._database.now(connection)
            revision = connection.execute(_REVISION).scalar_one()
            query, changed = select(versions).order_by(versions.c.revision, versions.c.id), None
            if since is not None:
                keys = select(projects.c.key).where(projects.c.revision > since)
                query = query.where(versions.c.project.in_(keys))
                changed = frozenset(connection.execute(keys).scalars())
            found = [to_version(row) for row in connection.execute(query) if not row.is_deleted]
            return DefinitionHistory(revision, as_of(connection, now), read_projects(connection), found, changed)

    def projects(self) -> Sequence[Project]:
        with self._database.read() as connection:
            return read_projects(connection)

    def project(self, key: str) -> Project:
        """Raises NotFound."""
        for project in self.projects():
            if project.key == key:
                return project
        raise NotFound("project", key)

    def current(self, project: str, kind: str | None = None) -> tuple[Project, Sequence[DefinitionVersion]]:
        """The project and its present definitions, oldest first, in one read. Raises NotFound.

        Remembered until the catalog's revision is another one: every change raises it.
        """
        known = self._present.get((project, kind))
        if known is not None and known[0] == self._database.value(_REVISION):
            return known[1], known[2]
        with self._database.read() as connection:
            revision = connection.execute(_REVISION).scalar_one()
            row = connection.execute(select(projects).where(projects.c.key == project)).one_or_none()
            if row is None:
                raise NotFound("project", project)
            rows = connection.execute(
                select_present(project, kind).order_by(versions.c.created_at, versions.c.id)
            ).all()
            owner, present = to_project(row), [to_version(found) for found in rows]
        if len(self._present) >= _KEPT:
            self._present.clear()
        self._present[project, kind] = (revision, owner, present)
        return owner, present

    def get(self, project: str, kind: str, ident: str) -> DefinitionVersion:
        """The present version. Raises NotFound, for another project's just like for a missing one."""
        with self._database.read() as connection:
            return get_present(connection, project, kind, ident)

    def all_versions(self, project: str, kind: str, ident: str) -> Sequence[DefinitionVersion]:
        """Every version of one definition, oldest first; none of one that is not there."""
        mine = (versions.c.project == project) & (versions.c.kind == kind) & (versions.c.id == ident)
        with self._database.read() as connection:
            rows = connection.execute(select(versions).where(mine).order_by(versions.c.revision)).all()
            return [to_version(row) for row in rows]

    def audit(self, project: str, *, before: int | None = None, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """The newest entries, newest first; `before` is an entry's id, for the next page."""
        query = select(audit).where(audit.c.project == project).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._database.read() as connection:
            return [
                {
                    **row._mapping,
                    "before": json.loads(row.before) if row.before else None,
                    "after": json.loads(row.after) if row.after else None,
                }
                for row in connection.execute(query)
            ]

    # -- writing

    def create_project(self, key: str, name: str, time_zone: str) -> Project:
        """It acts from `created_at`, a moment from now. Raises Conflict when the key is taken."""
        with self._database.write() as connection:
            revision, acts_from = self._begin(connection, key)
            require_no_project(connection, key)
            project = Project(key, name, time_zone, acts_from)
            connection.execute(insert(projects).values(**asdict(project), revision=revision))
            note_unsettled(connection, revision, acts_from, key)
            self._audit_project(connection, COMMAND_LINE, "create", project)
        return project if self._settle([revision]) else self.project(key)

    def create(self, project: str, kind: str, ident: str, body: Mapping[str, object], actor: str) -> DefinitionVersion:
        """Store a new definition. It acts from `effective_from`, a moment from now.

        An id that was deleted begins again, as old as it was. Raises Conflict when the id is another definition's.
        """
        with self._database.write() as connection:
            version = self._create(connection, project, kind, ident, body, actor)
        return self._confirm(version)

    def change(self, project: str, kind: str, ident: str, change: Change, actor: str) -> DefinitionVersion:
        """Replace the present version's body by `change(version)`, in the same transaction.

        What `change` raises undoes everything. Raises NotFound.
        """
        with self._database.write() as connection:
            before, version = self._change(connection, project, kind, ident, change, actor)
        return before if version is None else self._confirm(version)

    def delete(self, project: str, kind: str, ident: str, actor: str, check: Change | None = None) -> DefinitionVersion:
        """End the definition for good; its history stays. Raises NotFound."""
        with self._database.write() as connection:
            grave = self._delete(connection, project, kind, ident, actor, check)
        return self._confirm(grave)

    def carry_out(self, project: str, steps: Sequence[Step], secrets: Mapping[str, str], actor: str) -> int:
        """All steps of a plan in one transaction, or none; returns the catalog revision that has them, 0 when no step
        is of the catalog. `secrets` has one for each alert that is new, by id.

        Raises Conflict when a definition was changed after the plan was made, NotFound.
        """
        with self._database.write() as connection:
            stored = self._carry_out(connection, project, steps, secrets, actor)
        revisions = [version.revision for version in stored]
        if self._settle(revisions):
            return max(revisions, default=0)
        return self.revision()[0]

    def rehearse(self, works: Sequence[Work], actor: str) -> None:
        """Do all of it in one transaction and undo it: raises what doing it would raise, and changes nothing."""
        with suppress(_Undone), self._database.write() as connection:
            for work in works:
                if work.is_new:
                    self._restore(connection, work.project, work.earlier, actor)
                unsigned = {step.id: "" for step in work.steps}
                self._carry_out(connection, work.project.key, work.steps, unsigned, actor)
            raise _Undone

    def restore(self, project: Project, earlier: Sequence[DefinitionVersion], actor: str) -> int:
        """A project that does not exist, with every version it ever had, acting when they acted; the revision.

        What was counted since they act is in the log alone: a rebuild counts it. Raises Conflict when the project
        exists, or an id is another definition's.
        """
        with self._database.write() as connection:
            return self._restore(connection, project, earlier, actor)

    # -- within a transaction

    def _carry_out(
        self, connection: Connection, project: str, steps: Sequence[Step], secrets: Mapping[str, str], actor: str
    ) -> list[DefinitionVersion]:
        """The versions that were stored."""
        stored: list[DefinitionVersion] = []
        of_alerts = [step for step in steps if step.kind == ALERT]
        carry_out_alerts(connection, self._database.now(connection), project, of_alerts, secrets, actor)
        for step in (step for step in steps if step.kind != ALERT):
            if step.action == "create":
                stored.append(self._create(connection, project, step.kind, step.id, step.after, actor))
            elif step.action == "change":
                _, version = self._change(connection, project, step.kind, step.id, as_planned(step), actor)
                stored += [] if version is None else [version]
            else:
                stored.append(self._delete(connection, project, step.kind, step.id, actor, as_planned(step)))
        return stored

    def _restore(
        self, connection: Connection, project: Project, earlier: Sequence[DefinitionVersion], actor: str
    ) -> int:
        revision = raise_revision(connection)
        require_no_project(connection, project.key)
        for ident in sorted({version.id for version in earlier}):
            if find_born(connection, ident) is not None:
                raise id_taken(ident)
        connection.execute(insert(projects).values(**asdict(project), revision=revision))
        self._audit_project(connection, actor, "restore", project)
        for version in sorted(earlier, key=lambda version: version.effective_from):
            revision = raise_revision(connection)
            connection.execute(insert(versions).values(**to_row(replace(version, revision=revision))))
            self._audit(connection, actor, "restore", version, None, version.body)
        return revision

    def _create(
        self, connection: Connection, project: str, kind: str, ident: str, body: Mapping[str, object], actor: str
    ) -> DefinitionVersion:
        revision, acts_from = self._begin(connection, project)
        created_at = acts_from
        born = find_born(connection, ident)
        if born is not None:
            if (born.project, born.kind) != (project, kind) or born.is_present:
                raise id_taken(ident)
            created_at = born.created_at
        version = DefinitionVersion(kind, ident, project, revision, acts_from, FOREVER, created_at, body)
        connection.execute(insert(versions).values(**to_row(version)))
        note_unsettled(connection, revision, acts_from)
        self._audit(connection, actor, "create", version, None, body)
        return version

    def _change(
        self, connection: Connection, project: str, kind: str, ident: str, change: Change, actor: str
    ) -> tuple[DefinitionVersion, DefinitionVersion | None]:
        """The version before, and the new one; None when nothing differs."""
        revision, acts_from = self._begin(connection, project)
        before = get_present(connection, project, kind, ident)
        body = change(before)
        if not differing(before.body, body):
            return before, None
        end_present(connection, ident, acts_from)
        version = replace(before, revision=revision, effective_from=acts_from, body=body)
        connection.execute(insert(versions).values(**to_row(version)))
        note_unsettled(connection, revision, acts_from)
        self._audit(connection, actor, "edit", version, before.body, body)
        return before, version

    def _delete(
        self, connection: Connection, project: str, kind: str, ident: str, actor: str, check: Change | None
    ) -> DefinitionVersion:
        revision, acts_from = self._begin(connection, project)
        before = get_present(connection, project, kind, ident)
        if check is not None:
            check(before)
        end_present(connection, ident, acts_from)
        grave = replace(before, revision=revision, effective_from=acts_from, effective_until=acts_from)
        connection.execute(insert(versions).values(**to_row(grave, is_deleted=True)))
        note_unsettled(connection, revision, acts_from)
        self._audit(connection, actor, "delete", before, before.body, None)
        return grave

    def _begin(self, connection: Connection, project: str) -> tuple[int, int]:
        """The new revision, and when what it brings to the project begins to act. Writers wait for each other here."""
        revision = raise_revision(connection)
        mark_changed(connection, project, revision)
        return revision, self._database.now(connection) + EFFECTIVE_LEAD_MS

    def _confirm(self, version: DefinitionVersion) -> DefinitionVersion:
        """As it is once it is settled when it begins."""
        if self._settle([version.revision]):
            return version
        with self._database.read() as connection:
            return read_again(connection, version)

    def _settle(self, revisions: Sequence[int]) -> bool:
        """Settle when what was committed with these revisions begins: whether as it was said to. Anybody may do it."""
        if not revisions:
            return True
        with self._database.write() as connection:
            now = self._database.now(connection)
            return settle(connection, revisions, now, partial(self._begin, connection))

    def _audit_project(self, connection: Connection, actor: str, action: str, project: Project) -> None:
        write_audit(
            connection,
            at=self._database.now(connection),
            project=project.key,
            actor=actor,
            action=action,
            kind="project",
            target=project.key,
            before=None,
            after={"name": project.name, "timeZone": project.time_zone},
        )

    def _audit(
        self,
        connection: Connection,
        actor: str,
        action: str,
        version: DefinitionVersion,
        before: Mapping[str, object] | None,
        after: Mapping[str, object] | None,
    ) -> None:
        write_audit(
            connection,
            at=self._database.now(connection),
            project=version.project,
            actor=actor,
            action=action,
            kind=version.kind,
            target=version.id,
            before=before,
            after=after,
        )


class _Undone(Exception):
    """Ends a rehearsal, and rolls its transaction back."""
