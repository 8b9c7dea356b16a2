"""However long a writer takes to find out that its commit was in time, nobody counts by what may still be moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from app.domain.conversion_goal import FOREVER
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


class SlowDatabase(Database):
    """Takes longer for its next commit than what is committed may wait with its beginning."""

    is_slow = False

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            if self.is_slow:
                self.is_slow = False
                time.sleep(EFFECTIVE_LEAD_MS / 1000)


@pytest.mark.parametrize("what", ["project", "definition"])
def test_what_was_committed_too_late_begins_later(database: Database, definitions: SqlDefinitions, what: str) -> None:
    slow = SlowDatabase(database.url)
    slow.is_slow = True
    late = SqlDefinitions(slow)
    if what == "project":
        begins = late.create_project("new", "New", "UTC").created_at
        assert begins == definitions.project("new").created_at
    else:
        begins = late.create("shop", GOAL, "g1", {"metric": "m"}, "key").effective_from
        (stored,) = definitions.history().versions
        assert begins == stored.effective_from == stored.created_at
    assert not slow.is_slow
    assert definitions.revision()[0] > 3, "whoever read the first beginning reads again"
    assert definitions.history(3).changed == {"new" if what == "project" else "shop"}
    slow.close()


class OvertakenDatabase(SlowDatabase):
    """And something else is committed right after that, before the first writer looks at the clock."""

    meanwhile: Callable[[], object] | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


@pytest.mark.parametrize("then", ["edit", "delete", "create"])
def test_what_was_committed_too_late_and_changed_meanwhile_never_acts(
    database: Database, definitions: SqlDefinitions, then: str
) -> None:
    def change(by: SqlDefinitions, target: int) -> DefinitionVersion:
        return by.change("shop", GOAL, "g1", lambda _: {"target": target}, "key")

    def delete(by: SqlDefinitions) -> DefinitionVersion:
        return by.delete("shop", GOAL, "g1", "key")

    def overtake() -> None:
        if then == "delete":
            ends.append(delete(definitions))
        elif then == "edit":
            ends.append(change(definitions, 3))
        else:
            ends.append(definitions.create("shop", GOAL, "g1", {"target": 3}, "key"))

    ends: list[DefinitionVersion] = []
    definitions.create("shop", GOAL, "g1", {"target": 1}, "key")
    overtaken = OvertakenDatabase(database.url)
    overtaken.is_slow, overtaken.meanwhile = True, overtake
    late = SqlDefinitions(overtaken)
    if then == "create":
        delete(late)
    else:
        change(late, 2)
    overtaken.close()
    history = definitions.history()
    assert history.revision > ends[0].revision, "whoever read the late one reads again"
    assert definitions.history(ends[0].revision).changed == {"shop"}
    acting = [one for one in history.versions if one.effective_from < one.effective_until]
    assert [one.body["target"] for one in acting] == ([1] if then == "delete" else [1, 3])
    assert acting[0].effective_until == ends[0].effective_from
    if then != "delete":
        newest = definitions.all_versions("shop", GOAL, "g1")[-1]
        assert (newest.body, newest.effective_until) == ({"target": 3}, FOREVER)
