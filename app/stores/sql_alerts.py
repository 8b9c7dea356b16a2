"""Alerts and their deliveries in SQL. Implements AlertStore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from app.domain.alerting import Told
from app.domain.deliveries import Attempt, Delivery, StoredAlert, Taken
from app.errors import Conflict
from app.stores.alert_rows import (
    AlertChange,
    create_alert,
    delete_alert,
    edit_alert,
    get_alert,
    to_alert,
    told_text,
)
from app.stores.database import Database
from app.stores.tables import alert_deliveries, alerts
from app.stores.version_rows import wait_in_line

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

    def create(
        self, project: str, ident: str, secret: str, body: Mapping[str, Any], actor: str
    ) -> tuple[StoredAlert, str]:
        """The alert and its secret: those that are stored, where the same alert is there already. Raises Conflict where
        there are too many, or another one has the id."""
        with self._database.write() as connection:
            wait_in_line(connection)
            present = connection.execute(select(alerts).where(alerts.c.id == ident)).one_or_none()
            if present is None:
                now = self._database.now(connection)
                return create_alert(connection, now, project, ident, secret, body, actor), secret
        if (present.project, json.loads(present.body)) != (project, body):
            raise Conflict(f"the id {ident!r} is already another alert's")
        return to_alert(present), present.secret

    def list(self, project: str) -> Sequence[StoredAlert]:
        """Oldest first."""
        with self._database.read() as connection:
            query = select(alerts).where(alerts.c.project == project).order_by(alerts.c.created_at, alerts.c.id)
            return [to_alert(row) for row in connection.execute(query)]

    def get(self, project: str, ident: str) -> StoredAlert:
        """Raises NotFound."""
        with self._database.read() as connection:
            return get_alert(connection, project, ident)

    def edit(self, project: str, ident: str, change: AlertChange, actor: str) -> StoredAlert:
        """`change` gives the new body, and whether what was told is forgotten. Raises NotFound, and what it raises."""
        with self._database.write() as connection:
            return edit_alert(connection, self._database.now(connection), project, ident, change, actor)

    def delete(self, project: str, ident: str, actor: str) -> None:
        """With its deliveries; what is not sent yet is never sent. Raises NotFound."""
        with self._database.write() as connection:
            delete_alert(connection, self._database.now(connection), project, ident, actor)

    # -- what they tell

    def all(self) -> Sequence[StoredAlert]:
        """Every project's."""
        with self._database.read() as connection:
            return [to_alert(row) for row in connection.execute(select(alerts).order_by(alerts.c.id))]

    def tell(self, alert: StoredAlert, told: Mapping[str, Told], deliveries: Sequence[tuple[str, str]]) -> bool:
        """Store what was told, and the (id, body) of each delivery, unless somebody changed the alert meanwhile."""
        unchanged = (alerts.c.id == alert.id) & (alerts.c.version == alert.version)
        values = {"told": told_text(told), "version": alert.version + 1}
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
            get_alert(connection, project, ident)
            query = select(alert_deliveries).where(alert_deliveries.c.alert == ident)
            newest = query.order_by(alert_deliveries.c.created_at.desc(), alert_deliveries.c.id).limit(limit)
            return [_delivery(row) for row in connection.execute(newest)]

    def delivery(self, alert: str, ident: str) -> Delivery | None:
        """One of the alert's; None where it has none of that id."""
        mine = (alert_deliveries.c.alert == alert) & (alert_deliveries.c.id == ident)
        with self._database.read() as connection:
            row = connection.execute(select(alert_deliveries).where(mine)).one_or_none()
        return None if row is None else _delivery(row)

    def last_deliveries(self, project: str) -> Mapping[str, Delivery]:
        """The newest of each alert that has one, by the alert's id."""
        other = alert_deliveries.alias()
        newest = select(other.c.id).where(other.c.alert == alerts.c.id)
        newest = newest.order_by(other.c.created_at.desc(), other.c.id).limit(1).correlate(alerts)
        query = select(alert_deliveries).select_from(alerts)
        query = query.join(alert_deliveries, alert_deliveries.c.id == newest.scalar_subquery())
        with self._database.read() as connection:
            return {row.alert: _delivery(row) for row in connection.execute(query.where(alerts.c.project == project))}

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

    def finish(self, taken: Taken, attempt: Attempt, pause_ms: int | None) -> None:
        """What became of it; tried again after `pause_ms`. Nothing, when the lease has passed to another one."""
        mine = (alert_deliveries.c.id == taken.delivery.id) & (alert_deliveries.c.attempts == taken.delivery.attempts)
        with self._database.write() as connection:
            now = self._database.now(connection)
            connection.execute(
                update(alert_deliveries)
                .where(mine)
                .values(
                    status=attempt.status,
                    error=attempt.error,
                    delivered_at=None if attempt.error else now,
                    next_at=None if pause_ms is None else now + pause_ms,
                )
            )


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
