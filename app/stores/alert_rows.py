"""Alerts within a transaction of who calls: alone, or with the other definitions of a plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from app.domain.alerting import Told, is_another_rule
from app.domain.declaring import Step
from app.domain.deliveries import StoredAlert
from app.errors import Conflict, NotFound
from app.stores.auditing import write_audit
from app.stores.database import can_be_stored
from app.stores.tables import alert_deliveries, alerts

MOST: Final = 20
"""Alerts of one project: each is looked at every other second."""

ANOTHER_ID: Final = "give it another one, or leave `id` out (and `history`, in an export for a second project)"

AlertChange = Callable[[StoredAlert], tuple[Mapping[str, Any], bool]]
"""Gives the new body, and whether what was told is forgotten."""


def carry_out_alerts(
    connection: Connection, at: int, project: str, steps: Sequence[Step], secrets: Mapping[str, str], actor: str
) -> None:
    """Steps of a plan; `secrets` has one for each alert that is new. Raises Conflict when an alert was changed after
    the plan was made, or there would be too many; NotFound."""
    # What goes makes room for what comes.
    for step in sorted(steps, key=lambda step: step.action != "delete"):
        if step.action == "create":
            if connection.execute(select(alerts.c.id).where(alerts.c.id == step.id)).one_or_none() is not None:
                raise Conflict(f"the id {step.id!r} is already another alert's; {ANOTHER_ID}")
            create_alert(connection, at, project, step.id, secrets[step.id], step.after, actor)
        elif step.action == "change":
            edit_alert(connection, at, project, step.id, _planned(step), actor)
        else:
            _planned(step)(get_alert(connection, project, step.id, is_locked=True))
            delete_alert(connection, at, project, step.id, actor)


def create_alert(
    connection: Connection, at: int, project: str, ident: str, secret: str, body: Mapping[str, Any], actor: str
) -> StoredAlert:
    """Raises Conflict where there are too many."""
    count = select(func.count()).select_from(alerts).where(alerts.c.project == project)
    if connection.execute(count).scalar_one() >= MOST:
        raise Conflict(f"a project has at most {MOST} alerts; delete one")
    made = StoredAlert(ident, project, at, dict(body), {}, 1)
    connection.execute(
        insert(alerts).values(
            id=ident,
            project=project,
            created_at=made.created_at,
            body=json.dumps(made.body),
            secret=secret,
            told="{}",
            version=1,
        )
    )
    _audit(connection, at, actor, "create", made, None, made.body)
    return made


def edit_alert(
    connection: Connection, at: int, project: str, ident: str, change: AlertChange, actor: str
) -> StoredAlert:
    """Raises NotFound, and what `change` raises."""
    before = get_alert(connection, project, ident, is_locked=True)
    body, is_new = change(before)
    told = {} if is_new else before.told
    after = replace(before, body=dict(body), told=told, version=before.version + 1)
    values = {"body": json.dumps(after.body), "told": told_text(told), "version": after.version}
    connection.execute(update(alerts).where(alerts.c.id == ident).values(**values))
    _audit(connection, at, actor, "edit", before, before.body, after.body)
    return after


def delete_alert(connection: Connection, at: int, project: str, ident: str, actor: str) -> None:
    """With its deliveries. Raises NotFound."""
    before = get_alert(connection, project, ident, is_locked=True)
    connection.execute(delete(alert_deliveries).where(alert_deliveries.c.alert == ident))
    connection.execute(delete(alerts).where(alerts.c.id == ident))
    _audit(connection, at, actor, "delete", before, before.body, None)


def get_alert(connection: Connection, project: str, ident: str, *, is_locked: bool = False) -> StoredAlert:
    """Raises NotFound, for another project's just like for a missing one."""
    query = select(alerts).where((alerts.c.id == ident) & (alerts.c.project == project))
    query = query.with_for_update() if is_locked else query
    row = connection.execute(query).one_or_none() if can_be_stored(ident) else None
    if row is None:
        raise NotFound("alert", ident)
    return to_alert(row)


def to_alert(row: Row[Any]) -> StoredAlert:
    told = {subject: Told(*word) for subject, word in json.loads(row.told).items()}
    return StoredAlert(row.id, row.project, row.created_at, json.loads(row.body), told, row.version)


def told_text(told: Mapping[str, Told]) -> str:
    return json.dumps({subject: astuple(word) for subject, word in told.items()})


def _planned(step: Step) -> AlertChange:
    """The step's body, if the alert is still as the plan found it. Each message raises its version, so that tells
    nothing."""

    def change(before: StoredAlert) -> tuple[Mapping[str, Any], bool]:
        if before.body != step.before:
            raise Conflict(f"{step.id} was changed after the plan was made; plan again")
        return step.after, is_another_rule(before.body, step.after)

    return change


def _audit(
    connection: Connection,
    at: int,
    actor: str,
    action: str,
    alert: StoredAlert,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    write_audit(
        connection,
        at=at,
        project=alert.project,
        actor=actor,
        action=action,
        kind="alert",
        target=alert.id,
        before=before,
        after=after,
    )
