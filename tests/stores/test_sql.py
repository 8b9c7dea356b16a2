"""Definitions, keys and sessions in SQL, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError

from app.domain.conversion_goal import FOREVER
from app.domain.declaring import GOAL
from app.domain.history import EFFECTIVE_LEAD_MS, Project
from app.errors import Conflict, InvalidApiKey, InvalidDefinition, NotFound, StoreUnavailable
from app.stores import database as stores_database
from app.stores import migrations
from app.stores.database import Database
from app.stores.sql import SqlDefinitions
from app.stores.sql_alerts import SqlAlerts
from app.stores.sql_answers import SqlAnswers
from app.stores.sql_keys import SqlKeys
from app.stores.tables import REVISIONS, metadata
from tests.builders import goal
from tests.end_to_end.processes import eventually
from tests.servers.postgres import PostgresServer


@pytest.fixture
def keys(database: Database, definitions: SqlDefinitions) -> SqlKeys:
    assert definitions.projects()
    return SqlKeys(database)


def clock(database: Database) -> int:
    with database.read() as connection:
        return database.now(connection)


def test_the_migrations_make_the_schema_that_the_code_knows(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert database.pending_migrations() == 0
    database.migrate()


def test_the_migrations_are_known_by_name() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    newest_first = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(reversed([revision.revision for revision in newest_first])) == REVISIONS


def test_what_is_missing_is_counted_and_a_newer_schema_is_told(database_url: str) -> None:
    made = Database(database_url)
    try:
        assert made.pending_migrations() == len(REVISIONS)
        made.migrate()
        for present, pending in [(REVISIONS[0], len(REVISIONS) - 1), ("9999", -1), (REVISIONS[-1], 0)]:
            with made.write() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": present})
            assert made.pending_migrations() == pending
    finally:
        made.close()


def test_a_definition_acts_a_moment_after_it_was_committed(database: Database, definitions: SqlDefinitions) -> None:
    idents = (f"g{number}" for number in count())

    def is_known_before_it_acts() -> bool:
        before = clock(database)
        version = definitions.create("shop", GOAL, next(idents), {"metric": "m"}, "key")
        after = clock(database)
        assert before + EFFECTIVE_LEAD_MS <= version.effective_from <= after + EFFECTIVE_LEAD_MS
        assert version.created_at == version.effective_from
        return after < version.effective_from

    # A machine that is busy may come to read it a little later.
    eventually(is_known_before_it_acts, what="a reader who knows the version before it acts")


def test_an_edit_ends_the_old_version_where_the_new_one_begins(definitions: SqlDefinitions) -> None:
    first = definitions.create("shop", GOAL, "g1", {"target": 1}, "key")
    second = definitions.change("shop", GOAL, "g1", lambda version: {**version.body, "target": 2}, "key")
    history = definitions.history()
    old, new = history.versions
    assert (old.revision, old.effective_until) == (first.revision, second.effective_from)
    assert (new.body, new.effective_until, new.created_at) == ({"target": 2}, FOREVER, first.created_at)
    assert history.revision == second.revision > first.revision


def test_what_changed_since_a_revision_is_read_alone(definitions: SqlDefinitions) -> None:
    definitions.create("shop", GOAL, "g1", {"target": 1}, "key")
    known = definitions.create("other", GOAL, "g2", {"target": 2}, "key").revision
    assert definitions.history(known).changed == frozenset()
    changes: list[tuple[str, Callable[[], object]]] = [
        ("shop", lambda: definitions.change("shop", GOAL, "g1", lambda _: {"target": 3}, "key")),
        ("other", lambda: definitions.delete("other", GOAL, "g2", "key")),
        ("other", lambda: definitions.create("other", GOAL, "g2", {"target": 4}, "key")),
        ("new", lambda: definitions.create_project("new", "New", "UTC")),
        (
            "back",
            lambda: definitions.restore(
                Project("back", "Back", "UTC", 0), [replace(goal("g3"), project="back")], "key"
            ),
        ),
    ]
    for project, change in changes:
        change()
        some, whole = definitions.history(known), definitions.history()
        assert (some.changed, some.projects, whole.changed) == ({project}, whole.projects, None)
        assert some.versions == [one for one in whole.versions if one.project == project]
        known = some.revision


def test_a_change_that_is_refused_changes_nothing(definitions: SqlDefinitions) -> None:
    definitions.create("shop", GOAL, "g1", {"target": 1}, "key")
    before = definitions.history()

    def refuse(version: object) -> dict[str, object]:
        raise InvalidDefinition("/target", "no")

    with pytest.raises(InvalidDefinition):
        definitions.change("shop", GOAL, "g1", refuse, "key")
    after = definitions.history()
    assert (after.revision, after.versions) == (before.revision, before.versions)


def test_what_was_deleted_is_gone_and_its_history_stays(definitions: SqlDefinitions) -> None:
    definitions.create("shop", GOAL, "g1", {"target": 1}, "key")
    grave = definitions.delete("shop", GOAL, "g1", "key")
    assert definitions.current("shop")[1] == []
    with pytest.raises(NotFound):
        definitions.get("shop", GOAL, "g1")
    (version,) = definitions.history().versions
    assert version.effective_until == grave.effective_from


@pytest.mark.parametrize("project", ["other", "nowhere"])
def test_a_foreign_definition_is_like_a_missing_one(definitions: SqlDefinitions, project: str) -> None:
    definitions.create("shop", GOAL, "g1", {"target": 1}, "key")
    with pytest.raises(NotFound, match=r"no goal with the id 'g1'"):
        definitions.delete(project, GOAL, "g1", "key")


@pytest.mark.parametrize("ident", ["goal_\0", "\0"])
def test_an_id_that_no_database_can_hold_is_nobodys(
    database: Database, definitions: SqlDefinitions, ident: str
) -> None:
    with pytest.raises(NotFound):
        definitions.get("shop", GOAL, ident)
    with pytest.raises(NotFound):
        definitions.delete("shop", GOAL, ident, "key")
    with pytest.raises(NotFound):
        SqlAlerts(database).get("shop", ident)


def test_what_a_database_refuses_is_no_outage(database: Database) -> None:
    with pytest.raises(DataError), database.read():
        raise DataError("SELECT", {}, ValueError("U+0000"))
    with pytest.raises(StoreUnavailable), database.read():
        raise OperationalError("SELECT", {}, ConnectionError("gone"))


def test_a_taken_project_key_is_refused(definitions: SqlDefinitions) -> None:
    with pytest.raises(Conflict):
        definitions.create_project("shop", "Another", "UTC")


def test_writers_queue_and_every_change_has_a_revision_of_its_own(definitions: SqlDefinitions) -> None:
    def create(number: int) -> int:
        return definitions.create("shop", GOAL, f"g{number}", {"target": number}, "key").revision

    with ThreadPoolExecutor(4) as pool:
        revisions = list(pool.map(create, range(12)))
    assert len(set(revisions)) == 12
    assert len(definitions.current("shop")[1]) == 12


def test_what_another_process_changed_is_seen_at_once(database: Database, definitions: SqlDefinitions) -> None:
    other = SqlDefinitions(database)
    for target in (1, 2):
        if target == 1:
            other.create("shop", GOAL, "g1", {"target": 1}, "ann")
        else:
            other.change("shop", GOAL, "g1", lambda _: {"target": 2}, "ann")
        _, (seen,) = definitions.current("shop", GOAL)
        assert seen.body == {"target": target}
        assert definitions.current("shop", GOAL)[1] is definitions.current("shop", GOAL)[1], "looked up once"
    other.delete("shop", GOAL, "g1", "ann")
    assert list(definitions.current("shop", GOAL)[1]) == []


def test_every_change_is_audited_with_what_was_before(definitions: SqlDefinitions) -> None:
    definitions.create("shop", GOAL, "g1", {"target": 1}, "ann")
    definitions.change("shop", GOAL, "g1", lambda _: {"target": 2}, "bob")
    newest, oldest, project = definitions.audit("shop")
    assert (project["actor"], project["kind"], project["action"], project["target"], project["after"]) == (
        *("cli", "project", "create", "shop"),
        {"name": "Shop", "timeZone": "Europe/Berlin"},
    )
    assert (oldest["actor"], oldest["before"], oldest["after"]) == ("ann", None, {"target": 1})
    assert (newest["actor"], newest["before"], newest["after"]) == ("bob", {"target": 1}, {"target": 2})
    assert [entry["id"] for entry in definitions.audit("shop", before=newest["id"])] == [
        oldest["id"],
        project["id"],
    ]


def test_a_project_that_is_restored_is_audited(definitions: SqlDefinitions) -> None:
    definitions.restore(Project("again", "Again", "UTC", 5), (), "ann")
    (entry,) = definitions.audit("again")
    assert (entry["actor"], entry["kind"], entry["action"]) == ("ann", "project", "restore")


def test_a_key_opens_until_it_is_revoked(keys: SqlKeys) -> None:
    made, text = keys.create("shop", scopes=("read",))
    found = keys.authenticate(text)
    assert (found.id, found.project, found.may("read"), found.may("write")) == (made.id, "shop", True, False)
    token = keys.open_session(found)
    assert keys.resume_session(token).id == made.id
    keys.revoke(made.id)
    with pytest.raises(InvalidApiKey, match="revoked"):
        keys.authenticate(text)
    with pytest.raises(InvalidApiKey):
        keys.resume_session(token)


def test_every_change_of_a_key_is_audited(keys: SqlKeys, definitions: SqlDefinitions) -> None:
    made, text = keys.create("shop", name="site", scopes=("ingest",))
    rolled, _ = keys.roll(made.id, grace_ms=60_000)
    keys.revoke(rolled.id)
    _, *entries = reversed(definitions.audit("shop"))
    told = [(entry["actor"], entry["kind"], entry["action"], entry["target"]) for entry in entries]
    assert told == [
        ("cli", "api_key", action, key.id)
        for action, key in (("create", made), ("roll", made), ("create", rolled), ("revoke", rolled))
    ]
    created, ended, _, revoked = entries
    assert created["before"] is None
    assert created["after"] == {"name": "site", "scopes": ["ingest"], "expiresAt": None, "revokedAt": None}
    assert (ended["before"]["expiresAt"], revoked["before"]["revokedAt"]) == (None, None)
    assert min(ended["after"]["expiresAt"], revoked["after"]["revokedAt"]) > 0
    assert text.split("_")[2] not in repr(entries)


def test_a_key_that_ends_sooner_is_not_prolonged_by_being_rolled(keys: SqlKeys, database: Database) -> None:
    soon = clock(database) + 60_000
    made, _ = keys.create("shop", expires_at=soon)
    keys.roll(made.id, grace_ms=86_400_000)
    (old, _) = keys.list("shop")
    assert old.expires_at == soon


def test_a_key_that_has_ended_is_not_rolled(keys: SqlKeys, database: Database) -> None:
    ended, _ = keys.create("shop", expires_at=clock(database) - 1)
    with pytest.raises(NotFound, match="no live API key"):
        keys.roll(ended.id, 1000)
    assert [key.id for key in keys.list("shop")] == [ended.id]


def test_an_operators_scope_is_given_by_name_only(keys: SqlKeys) -> None:
    usual, _ = keys.create("shop")
    operator, _ = keys.create("shop", scopes=("read", "operator"))
    assert usual.may("admin")
    assert not usual.may("operator")
    assert operator.may("operator")
    assert not operator.may("write")


def test_a_rolled_key_lives_on_for_its_grace_only(keys: SqlKeys) -> None:
    made, old = keys.create("shop")
    _, new = keys.roll(made.id, grace_ms=60_000)
    assert keys.authenticate(old).project == keys.authenticate(new).project == "shop"
    _, gone = keys.create("shop", expires_at=1)
    with pytest.raises(InvalidApiKey, match="expired"):
        keys.authenticate(gone)


def test_no_secret_is_kept(keys: SqlKeys, database: Database) -> None:
    _, text = keys.create("shop")
    secret = text.split("_")[2]
    with database.read() as connection:
        for table in metadata.sorted_tables:
            assert secret not in repr(connection.execute(table.select()).all())


def test_an_unknown_key_with_a_good_checksum_is_refused(keys: SqlKeys, database: Database) -> None:
    _, text = keys.create("shop")
    with pytest.raises(InvalidApiKey):
        keys.authenticate(text[:-1])
    other = SqlKeys(database)
    assert other.authenticate(text).project == "shop", "another process hashes with the same key"


def test_an_answer_is_given_again_and_another_body_is_refused(database: Database) -> None:
    answers = SqlAnswers(database, abandoned_ms=60_000)
    assert answers.begin("shop", "k", "hash") is None
    with pytest.raises(Conflict):
        answers.begin("shop", "k", "hash")
    answers.finish("shop", "k", 201, "{}")
    assert answers.begin("shop", "k", "hash") == (201, "{}")
    assert answers.begin("other", "k", "hash") is None
    with pytest.raises(InvalidDefinition):
        answers.begin("shop", "k", "another")


def test_an_answer_that_was_cut_off_leaves_its_key_to_the_next(database: Database) -> None:
    assert SqlAnswers(database, abandoned_ms=60_000).begin("shop", "k", "hash") is None
    with pytest.raises(Conflict):
        SqlAnswers(database, abandoned_ms=60_000).begin("shop", "k", "hash")
    assert SqlAnswers(database, abandoned_ms=-1).begin("shop", "k", "hash") is None


def test_a_cluster_that_was_made_without_a_locale_serves_as_well(sql_ascii_url: str) -> None:
    """As `initdb` makes it where LANG is not set; the driver gives bytes for texts there, unless it is told."""
    plain = Database(sql_ascii_url)
    plain.migrate()
    SqlDefinitions(plain).create_project("shop", "Čajovna 🫖", "UTC")
    assert [project.name for project in SqlDefinitions(plain).projects()] == ["Čajovna 🫖"]
    plain.close()


def test_a_connection_in_use_ends_when_it_is_given_back_to_a_closed_database(database: Database) -> None:
    """A thread that cannot be cancelled still reads when a process closes."""
    with database.read() as connection:
        driver = connection.connection.driver_connection
        database.close()
        assert database.now(connection) > 0
    assert driver is not None
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        driver.execute("SELECT 1")


def test_a_database_that_is_away_is_a_store_that_is_unavailable() -> None:
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        SqlDefinitions(away).revision()


def test_a_frozen_server_is_given_up_and_found_again(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own limits end nothing then, and whoever waits holds a thread and a connection."""
    monkeypatch.setattr(stores_database, "_SILENT_SECONDS", 0.5)
    database = Database(postgres_url, patience_seconds=1)

    def answers() -> bool:
        try:
            with database.read() as connection:
                return database.now(connection) > 0
        except StoreUnavailable:
            return False

    eventually(answers, what="PostgreSQL")
    with ThreadPoolExecutor(1) as pool:
        postgres_server.pause()
        try:
            assert pool.submit(answers).result(30) is False
        finally:
            postgres_server.resume()
    eventually(answers, what="PostgreSQL")
    database.close()
