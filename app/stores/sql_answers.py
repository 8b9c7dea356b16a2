"""Answers to writes that carried an Idempotency-Key, for a day. One acts, the others get its answer."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from app.errors import Conflict, InvalidDefinition
from app.stores.database import Database
from app.stores.tables import idempotency
from app.stores.version_rows import wait_in_line

KEPT_MS = 24 * 3_600_000


class SqlAnswers:
    """Blocking. Raises StoreUnavailable.

    `abandoned_ms`: an answer that is not there after this was cut off, or lost with its process; the key may be used
    again. Longer than anybody may take to answer.
    """

    def __init__(self, database: Database, *, abandoned_ms: int) -> None:
        self._database = database
        self._abandoned_ms = abandoned_ms

    def begin(self, project: str, key: str, body_hash: str) -> tuple[int, str] | None:
        """None: act, then `finish` or `forget`. Else the answer that was given (status, text).

        Raises InvalidDefinition for the same key with another body, Conflict while the first is being worked on.
        """
        mine = (idempotency.c.project == project) & (idempotency.c.key == key)
        with self._database.write() as connection:
            wait_in_line(connection)
            now = self._database.now(connection)
            connection.execute(delete(idempotency).where(idempotency.c.at < now - KEPT_MS))
            row = connection.execute(select(idempotency).where(mine)).one_or_none()
            if row is not None and row.status is None and row.at < now - self._abandoned_ms:
                connection.execute(delete(idempotency).where(mine))
                row = None
            if row is None:
                connection.execute(insert(idempotency).values(project=project, key=key, body_hash=body_hash, at=now))
                return None
        if row.body_hash != body_hash:
            raise InvalidDefinition("", "this Idempotency-Key was used with another request.", "Use a new key.")
        if row.status is None:
            raise Conflict("the first request with this Idempotency-Key is still being worked on")
        return row.status, row.answer

    def finish(self, project: str, key: str, status: int, answer: str) -> None:
        mine = (idempotency.c.project == project) & (idempotency.c.key == key)
        with self._database.write() as connection:
            connection.execute(update(idempotency).where(mine).values(status=status, answer=answer))

    def forget(self, project: str, key: str) -> None:
        mine = (idempotency.c.project == project) & (idempotency.c.key == key)
        with self._database.write() as connection:
            connection.execute(delete(idempotency).where(mine))
