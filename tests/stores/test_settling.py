"""However long a writer takes to find out that its commit was in time, nobody counts by what may still be moved."""

from __future__ import annotations

import pytest

from app.domain.declaring import GOAL
from app.domain.history import EFFECTIVE_LEAD_MS, SETTLED_MS, TRUSTED_MS, DefinitionVersion
from app.refreshing import CatalogRefresher
from app.stores.database import Database
from app.stores.sql import SqlDefinitions

BODY = {"metric": "m", "target": 1, "deadline": "2090-01-01"}


class Clock:
    """The database's."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        with database.read() as connection:
            self.now = database.now(connection)
        monkeypatch.setattr(Database, "now", lambda *_: self.now)


@pytest.fixture
def clock(database: Database, definitions: SqlDefinitions, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It stands; the project acts already."""
    del definitions
    made = Clock(database, monkeypatch)
    made.now += 1_000
    return made


class Pausing(SqlDefinitions):
    """Does not come to settle what it has committed."""

    is_paused = True

    def _confirm(self, version: DefinitionVersion) -> DefinitionVersion:
        return version if self.is_paused else super()._confirm(version)

    def go_on(self, version: DefinitionVersion) -> DefinitionVersion:
        self.is_paused = False
        return self._confirm(version)


async def test_nobody_counts_beyond_what_its_writer_may_still_move(
    database: Database, definitions: SqlDefinitions, clock: Clock
) -> None:
    refresher, writer = CatalogRefresher(definitions), Pausing(database)
    version = writer.create("shop", GOAL, "g1", BODY, "key")
    begins = version.effective_from
    clock.now = begins + 100
    await refresher.refresh()
    assert refresher.known_at + TRUSTED_MS == begins
    settled = writer.go_on(version)
    assert settled.effective_from == settled.created_at == clock.now + EFFECTIVE_LEAD_MS
    await refresher.refresh()
    assert refresher.known_at == clock.now
    assert [goal.effective_from for goal in refresher.current.projects["shop"].goals] == [settled.effective_from]


async def test_what_was_settled_in_time_is_trusted_at_once(definitions: SqlDefinitions, clock: Clock) -> None:
    version = definitions.create("shop", GOAL, "g1", BODY, "key")
    assert version.effective_from == clock.now + EFFECTIVE_LEAD_MS
    clock.now = version.effective_from
    assert definitions.revision() == (version.revision, clock.now)
    assert definitions.history().as_of == clock.now


def test_what_a_writer_left_unsettled_is_settled_by_whoever_asks(
    database: Database, definitions: SqlDefinitions, clock: Clock
) -> None:
    writer = Pausing(database)
    version = writer.create("shop", GOAL, "g1", BODY, "key")
    clock.now = version.effective_from + SETTLED_MS
    assert definitions.revision() == (version.revision, version.effective_from - TRUSTED_MS)
    clock.now += 1
    revision, as_of = definitions.revision()
    assert (revision, as_of) == (version.revision + 1, clock.now)
    (moved,) = definitions.history().versions
    assert moved.effective_from == clock.now + EFFECTIVE_LEAD_MS
    clock.now += 10_000
    assert writer.go_on(version) == moved


def test_a_project_that_its_writer_left_is_settled_too(
    database: Database, definitions: SqlDefinitions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SqlDefinitions(database)
    monkeypatch.setattr(writer, "_settle", lambda _: True)
    begins = writer.create_project("new", "New", "UTC").created_at
    clock.now = begins + SETTLED_MS + 1
    definitions.revision()
    assert definitions.project("new").created_at == clock.now + EFFECTIVE_LEAD_MS
