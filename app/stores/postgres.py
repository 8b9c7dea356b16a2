"""Connections to PostgreSQL that end when the server falls silent.

A server that is frozen, or behind a network that drops everything, does not end a statement by its own limits. The
thread that waits would wait for hours and hold its connection, until there are neither threads nor connections left.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection, OperationalError
from psycopg.abc import RV, PQGen
from sqlalchemy import Engine, event


def give_up_silent_servers(engine: Engine, seconds: float) -> None:
    """Each wait for an answer ends after so many seconds, with an OperationalError and with the connection."""

    class Impatient(Connection[Any]):
        def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
            try:
                return super().wait(gen, interval, seconds if timeout is None else timeout)
            except OperationalError:
                # An answer that comes late must not be taken for that of the next statement.
                self.close()
                raise

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Connection[Any]:
        return Impatient.connect(*arguments, **options)
