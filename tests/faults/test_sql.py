"""A database that is away, or locked: counting goes on with the last definitions, and a new one arrives afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.defining import Defined, Defining
from app.stores.redis_client import connect
from app.stores.redis_signals import RedisSignals
from tests.end_to_end.processes import eventually
from tests.faults.site import MakeSite, Site
from tests.servers.postgres import start_postgres

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

NEW = {"name": "Click", "metric": "click", "eventType": "click"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Not below pytest's own folder, which another run beside this one closes to PostgreSQL's user."""
    with TemporaryDirectory(prefix="scorekeeper-postgres-", ignore_cleanup_errors=True) as home:
        yield Path(home)


@pytest.mark.postgres
def test_counting_goes_on_while_the_database_is_away(make_site: MakeSite, open_folder: Path) -> None:
    postgres = start_postgres(open_folder / "cluster")
    try:
        site = make_site(seed=51, database=postgres.create_database())
        workers = site.start_workers(2)
        site.publish(300)
        site.wait_until_counted()
        postgres.kill()
        site.publish(600)
        site.wait_until_counted()
        assert [worker.exit_code() for worker in workers] == [None, None]
        eventually(postgres.has_started, 60, "PostgreSQL's return")
        # At once: until a worker has seen that the database is back, it counts by what it knew.
        defined = asyncio.run(define_as_the_api_does(site))
        assert defined.is_live
        site.publish(600)
        site.wait_until_counted()
        assert site.hashes()[f"c:{defined.version.id}"]["n"] > 0
        assert site.differences() == []
    finally:
        postgres.stop()


async def define_as_the_api_does(site: Site) -> Defined:
    client = connect(site.redis_url, name="test")
    try:
        defining = Defining(site.definitions, RedisSignals(client), live_timeout_seconds=60)
        return await defining.create_conversion_goal("shop", NEW, "test")
    finally:
        await client.aclose()


@pytest.mark.postgres
def test_counting_goes_on_while_the_database_is_locked(make_site: MakeSite, postgres_url: str) -> None:
    """PostgreSQL: a locked SQLite is still read."""
    site = make_site(seed=52, database=postgres_url)
    (worker,) = site.start_workers(1)
    site.publish(300)
    site.wait_until_counted()
    with create_engine(postgres_url, poolclass=NullPool).connect() as connection:
        connection.execute(text("LOCK TABLE catalog, definition_versions IN ACCESS EXCLUSIVE MODE"))
        site.publish(300)
        site.wait_until_counted()
        connection.rollback()
    assert "counting goes on with catalog revision" in worker.log.read_text()
    assert site.differences() == []


def test_definitions_that_change_under_traffic_act_to_the_millisecond(make_site: MakeSite) -> None:
    site = make_site(seed=53, spread=False)
    site.start_workers(2)
    for round_number in range(4):
        site.publish(200)
        ident = f"new-{round_number}"
        site.define("shop", "conversion_goal", ident, {**NEW, "name": ident})
        site.publish(100)
        site.definitions.change(
            "shop", "conversion_goal", ident, lambda before: {**before.body, "status": "paused"}, "t"
        )
        site.definitions.change(
            "docs", "conversion_goal", "docs-cg-2", lambda before: {**before.body, "eventType": "click"}, "t"
        )
        site.publish(100)
        site.definitions.change(
            "docs", "conversion_goal", "docs-cg-2", lambda before: {**before.body, "eventType": "purchase"}, "t"
        )
    site.definitions.delete("app", "goal", "app-goal-0", "t")
    site.publish(300)
    site.wait_until_counted()
    assert site.differences() == []
