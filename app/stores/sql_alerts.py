"""Alerts and their deliveries in SQL. Implements AlertStore."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from app.domain.alerting import Told
from app.domain.deliveries import Delivery, Outcome, StoredAlert, Taken
from app.errors import Conflict, NotFound
from app.stores.auditing import write_audit
from app.stores.database import Database
from app.stores.tables import alert_deliveries, alerts

MOST: Final = 20
"""Alerts of one project: each is looked at every other second."""
LEASE_MS: Final = 60_000
"""How long a delivery is one process's own: several times what a call may take."""
KEPT_MS: Final = 30 * 86_400_000
"""How long the log of deliveries is kept."""
MOST_WAITING: Final = 1_000
MOST_LOGGED: Final = 1_000
"""Of one alert: a goal that flickers, or a receiver that is away, must not fill the database."""


class SqlAlerts:
    """Blocking. Raises StoreUnavailable, and what each method says."""

    def __init__(self, database: Database, *, lease_ms: int = LEASE_MS) -> None:
        self._database = database
        self._lease_ms = lease_ms

    # -- rules

    def create(self, project: str, ident: str, secret: str, body: Mapping[str, Any], actor: str) -> StoredAlert:
        """Raises Conflict where there are too many."""
        with self._database.write() as connection:
            count = select(func.count()).select_from(alerts).where(alerts.c.project == project)
            if connection.execute(count).scalar_one() >= MOST:
                raise Conflict(f"a project has at most {MOST} alerts; delete one")
            made = StoredAlert(ident, project, self._database.now(connection), dict(body), {}, 1)
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
            self._audit(connection, actor, "create", made, None, made.body)
        return made

    def list(self, project: str) -> Sequence[StoredAlert]:
        """Oldest first."""
        with self._database.read() as connection:
            query = select(alerts).where(alerts.c.project == project).order_by(alerts.c.created_at, alerts.c.id)
            return [_alert(row) for row in connection.execute(query)]

    def get(self, project: str, ident: str) -> StoredAlert:
        """Raises NotFound."""
        with self._database.read() as connection:
            return _get(connection, project, ident)

    def edit(
        self, project: str, ident: str, change: Callable[[StoredAlert], tuple[Mapping[str, Any], bool]], actor: str
    ) -> StoredAlert:
        """`change` gives the new body, and whether what was told is forgotten. Raises NotFound, and what it raises."""
        with self._database.write() as connection:
            before = _get(connection, project, ident, is_locked=True)
            body, is_new = change(before)
            told = {} if is_new else before.told
            after = replace(before, body=dict(body), told=told, version=before.version + 1)
            values = {"body": json.dumps(after.body), "told": _told_text(told), "version": after.version}
            connection.execute(update(alerts).where(alerts.c.id == ident).values(**values))
            self._audit(connection, actor, "edit", before, before.body, after.body)
        return after

    def delete(self, project: str, ident: str, actor: str) -> None:
        """With its deliveries; what is not sent yet is never sent. Raises NotFound."""
        with self._database.write() as connection:
            before = _get(connection, project, ident, is_locked=True)
            connection.execute(delete(alert_deliveries).where(alert_deliveries.c.alert == ident))
            connection.execute(delete(alerts).where(alerts.c.id == ident))
            self._audit(connection, actor, "delete", before, before.body, None)

    def _audit(
        self,
        connection: Connection,
        actor: str,
        action: str,
        alert: StoredAlert,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        write_audit(
            connection,
            at=self._database.now(connection),
            project=alert.project,
            actor=actor,
            action=action,
            kind="alert",
            target=alert.id,
            before=before,
            after=after,
        )

    # -- what they tell

    def all(self) -> Sequence[StoredAlert]:
        """Every project's."""
        with self._database.read() as connection:
            return [_alert(row) for row in connection.execute(select(alerts).order_by(alerts.c.id))]

    def tell(self, alert: StoredAlert, told: Mapping[str, Told], deliveries: Sequence[tuple[str, str]]) -> bool:
        """Store what was told, and the (id, body) of each delivery, unless somebody changed the alert meanwhile."""
        unchanged = (alerts.c.id == alert.id) & (alerts.c.version == alert.version)
        values = {"told": _told_text(told), "version": alert.version + 1}
        with self._database.write() as connection:
            if connection.execute(update(alerts).where(unchanged).values(**values)).rowcount == 0:
                return False
            if deliveries:
                self._write(connection, alert.id, deliveries)
        return True

    def _write(self, connection: Connection, alert: str, deliveries: Sequence[tuple[str, str]]) -> None:
        now = self._database.now(connection)
        mine = alert_deliveries.c.alert == alert
        waiting, ended = mine & alert_deliveries.c.next_at.is_not(None), mine & alert_deliveries.c.next_at.is_(None)
        count = select(func.count()).select_from(alert_deliveries).where(waiting)
        room = max(0, MOST_WAITING - connection.execute(count).scalar_one())
        new = {"alert": alert, "created_at": now, "attempts": 0, "next_at": now, "error": ""}
        refused = {**new, "next_at": None, "error": f"given up: {MOST_WAITING} messages of this alert wait already"}
        rows = [
            {"id": ident, "body": body, **(new if place < room else refused)}
            for place, (ident, body) in enumerate(deliveries)
        ]
        connection.execute(insert(alert_deliveries), rows)
        newest = select(alert_deliveries.c.created_at).where(ended).order_by(alert_deliveries.c.created_at.desc())
        oldest_kept = connection.execute(newest.offset(MOST_LOGGED).limit(1)).scalar_one_or_none() or 0
        too_old = alert_deliveries.c.created_at <= max(oldest_kept, now - KEPT_MS)
        connection.execute(delete(alert_deliveries).where(ended & too_old))

    def deliveries(self, project: str, ident: str, limit: int) -> Sequence[Delivery]:
        """Newest first. Raises NotFound."""
        with self._database.read() as connection:
            _get(connection, project, ident)
            query = select(alert_deliveries).where(alert_deliveries.c.alert == ident)
            newest = query.order_by(alert_deliveries.c.created_at.desc(), alert_deliveries.c.id).limit(limit)
            return [_delivery(row) for row in connection.execute(newest)]

    def take(self, limit: int) -> Sequence[Taken]:
        """Deliveries that are due, and nobody else's until the lease ends. Of each project in turn: one whose receiver
        hangs does not keep the others waiting behind all that it has."""
        joined = select(alert_deliveries, alerts.c.body.label("rule"), alerts.c.secret).join(
            alerts, alerts.c.id == alert_deliveries.c.alert
        )
        with self._database.read() as connection:
            is_due = alert_deliveries.c.next_at <= self._database.now(connection)
            turn = func.row_number().over(
                partition_by=alerts.c.project, order_by=(alert_deliveries.c.next_at, alert_deliveries.c.id)
            )
            in_turn = joined.where(is_due).with_only_columns(alert_deliveries.c.id).order_by(turn).limit(limit)
            idents = connection.execute(in_turn).scalars().all()
        if not idents:
            return []
        taken = []
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = connection.execute(
                joined.where(alert_deliveries.c.id.in_(idents) & (alert_deliveries.c.next_at <= now)).with_for_update(
                    of=alert_deliveries, skip_locked=True
                )
            ).all()
            for row in rows:
                attempts = row.attempts + 1
                mine = {"attempts": attempts, "next_at": now + self._lease_ms}
                connection.execute(update(alert_deliveries).where(alert_deliveries.c.id == row.id).values(**mine))
                delivery = replace(_delivery(row), attempts=attempts, next_at=now + self._lease_ms)
                taken.append(Taken(delivery, json.loads(row.rule)["url"], row.secret, now - row.created_at))
        return taken

    def finish(self, taken: Taken, outcome: Outcome, pause_ms: int | None) -> None:
        """What became of it; tried again after `pause_ms`. Nothing, when the lease has passed to another one."""
        mine = (alert_deliveries.c.id == taken.delivery.id) & (alert_deliveries.c.attempts == taken.delivery.attempts)
        with self._database.write() as connection:
            now = self._database.now(connection)
            connection.execute(
                update(alert_deliveries)
                .where(mine)
                .values(
                    status=outcome.status,
                    error=outcome.error,
                    delivered_at=None if outcome.error else now,
                    next_at=None if pause_ms is None else now + pause_ms,
                )
            )


def _get(connection: Connection, project: str, ident: str, *, is_locked: bool = False) -> StoredAlert:
    query = select(alerts).where((alerts.c.id == ident) & (alerts.c.project == project))
    row = connection.execute(query.with_for_update() if is_locked else query).one_or_none()
    if row is None:
        raise NotFound("alert", ident)
    return _alert(row)


def _alert(row: Row[Any]) -> StoredAlert:
    told = {subject: Told(*word) for subject, word in json.loads(row.told).items()}
    return StoredAlert(row.id, row.project, row.created_at, json.loads(row.body), told, row.version)


def _told_text(told: Mapping[str, Told]) -> str:
    return json.dumps({subject: astuple(word) for subject, word in told.items()})


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.id,
        row.alert,
        row.created_at,
        row.body,
        row.attempts,
        row.next_at,
        row.delivered_at,
        row.status,
        row.error,
    )
