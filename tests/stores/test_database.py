"""How the database is asked, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Boolean, event, func, insert, literal_column, select

from app.stores.database import Database
from app.stores.tables import projects

PROJECT = {"key": "shop", "name": "Shop", "time_zone": "UTC", "created_at": 1}


class Undone(Exception):
    pass


def write_and_fail(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(projects), PROJECT)
        raise Undone


def test_one_value_is_asked_for_with_nothing_around_it(database: Database) -> None:
    sent: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(*call: Any) -> None:
        sent.append(call[2])

    if database.is_sqlite:
        database.value(select(func.count()).select_from(projects))
        assert [text.split()[0] for text in sent] == ["SELECT"]
    else:
        # now() is when the transaction began.
        assert database.value(select(literal_column("now() = statement_timestamp()", Boolean)))
        with database.read() as connection:
            assert not connection.scalar(select(literal_column("now() = statement_timestamp()", Boolean)))


def test_a_connection_that_gave_one_value_still_undoes_a_write(database: Database) -> None:
    number = select(func.count()).select_from(projects)
    assert database.value(number) == 0
    with pytest.raises(Undone):
        write_and_fail(database)
    assert database.value(number) == 0
    with database.write() as connection:
        connection.execute(insert(projects), PROJECT)
    assert database.value(number) == 1
