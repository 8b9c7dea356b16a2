"""Alerts in SQLite and PostgreSQL: each change is told once and each delivery arrives, whoever looks, sends or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.alerting import Alerting
from app.domain.alerting import Told
from app.domain.deliveries import Attempt, StoredAlert, Taken
from app.errors import StoreUnavailable
from app.stores import database, sql_alerts
from app.stores.database import Database
from app.stores.sql import SqlDefinitions
from app.stores.sql_alerts import SqlAlerts

BODY = {"name": "Tell", "url": "https://hooks.example.com/x", "when": "status_change"}


@pytest.fixture
def databases(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Database]]:
    """Of two processes, which wait for each other as long as a busy machine needs."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 60.0)
    made = [Database(database_url, patience_seconds=60) for _ in range(2)]
    made[0].migrate()
    SqlDefinitions(made[0]).create_project("shop", "Shop", "UTC")
    yield made
    for one in made:
        one.close()


class Calls:
    """A webhook that keeps the ids."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def call(self, url: str, secret: str, delivery: str, body: bytes) -> Attempt:
        self.ids.append(delivery)
        await asyncio.sleep(0)
        return Attempt(200, "")


def sender(store: SqlAlerts, calls: Calls) -> Alerting:
    reporter: Any = None
    return Alerting(store, reporter, calls, lambda: 0)


def create(store: SqlAlerts) -> StoredAlert:
    return store.create("shop", "alert_1", "whsec_1", BODY, "key")[0]


def write_deliveries(store: SqlAlerts, number: int) -> list[str]:
    alert = create(store)
    idents = [f"dlv_{n:03}" for n in range(number)]
    assert store.tell(alert, {}, [(ident, "{}") for ident in idents])
    return idents


def test_of_two_who_saw_a_change_one_tells_it(databases: list[Database]) -> None:
    stores = [SqlAlerts(one) for one in databases]
    create(stores[0])
    seen = [store.get("shop", "alert_1") for store in stores]
    done = [
        store.tell(alert, {"goal_1": Told("behind")}, [(f"dlv_{number}", "{}")])
        for number, (store, alert) in enumerate(zip(stores, seen, strict=True))
    ]
    assert done == [True, False]
    assert [one.id for one in stores[1].deliveries("shop", "alert_1", 10)] == ["dlv_0"]
    assert stores[1].get("shop", "alert_1").told == {"goal_1": Told("behind")}


def test_the_newest_delivery_of_each_alert_is_found_at_once(databases: list[Database]) -> None:
    store = SqlAlerts(databases[0])
    SqlDefinitions(databases[0]).create_project("other", "Other", "UTC")
    for project, ident in (("shop", "alert_1"), ("shop", "alert_2"), ("shop", "alert_3"), ("other", "alert_4")):
        alert, _ = store.create(project, ident, "whsec_1", BODY, "key")
        for number in range(2 if ident != "alert_3" else 0):
            assert store.tell(alert, {}, [(f"dlv_{ident}_{number}", "{}")])
            alert = store.get(project, ident)
    found = store.last_deliveries("shop")
    assert found == {ident: store.deliveries("shop", ident, 1)[0] for ident in ("alert_1", "alert_2")}


def test_who_looked_by_a_rule_that_was_edited_tells_nothing(databases: list[Database]) -> None:
    store = SqlAlerts(databases[0])
    before = create(store)
    store.edit("shop", "alert_1", lambda one: ({**one.body, "status": "paused"}, True), "key")
    assert not store.tell(before, {"goal_1": Told("behind")}, [("dlv_1", "{}")])
    store.delete("shop", "alert_1", "key")
    assert not store.tell(before, {}, [("dlv_1", "{}")])


async def test_two_senders_send_each_delivery_once(databases: list[Database]) -> None:
    idents = write_deliveries(SqlAlerts(databases[0]), 25)
    calls = Calls()
    senders = [sender(SqlAlerts(one), calls) for one in databases]
    while await asyncio.gather(*(one.send() for one in senders)) != [0, 0]:
        pass
    assert sorted(calls.ids) == idents
    found = SqlAlerts(databases[0]).deliveries("shop", "alert_1", 100)
    assert {(one.attempts, one.next_at, one.status) for one in found} == {(1, None, 200)}


def test_a_project_with_much_to_send_does_not_keep_another_waiting(databases: list[Database]) -> None:
    store = SqlAlerts(databases[0])
    write_deliveries(store, 30)
    SqlDefinitions(databases[0]).create_project("other", "Other", "UTC")
    other, _ = store.create("other", "alert_2", "whsec_2", BODY, "key")
    store.tell(other, {}, [("dlv_other", "{}")])
    taken = [one.delivery.id for one in store.take(10)]
    assert "dlv_other" in taken
    assert len(taken) == 10


class _Dies(SqlAlerts):
    """The process ends between sending and writing it down."""

    def finish(self, taken: Taken, attempt: Attempt, pause_ms: int | None) -> None:
        raise StoreUnavailable("sql", "the process died")


async def test_who_dies_before_it_is_written_down_leaves_it_to_another_with_the_same_id(
    databases: list[Database],
) -> None:
    idents = write_deliveries(SqlAlerts(databases[0]), 1)
    calls = Calls()
    with pytest.raises(StoreUnavailable):
        await sender(_Dies(databases[0], lease_ms=0), calls).send()
    assert await sender(SqlAlerts(databases[1]), calls).send() == 1
    assert calls.ids == idents * 2
    assert await sender(SqlAlerts(databases[1]), calls).send() == 0


def test_what_is_taken_is_nobody_else_s_until_the_lease_ends(databases: list[Database]) -> None:
    write_deliveries(SqlAlerts(databases[0]), 1)
    (slow,) = SqlAlerts(databases[0], lease_ms=0).take(10)
    (quick,) = SqlAlerts(databases[1]).take(10)
    assert SqlAlerts(databases[0]).take(10) == []
    assert (slow.delivery.attempts, quick.delivery.attempts) == (1, 2)
    # Who lost his lease does not undo what the other one wrote.
    SqlAlerts(databases[1]).finish(quick, Attempt(200, ""), None)
    SqlAlerts(databases[0]).finish(slow, Attempt(None, "late"), 0)
    (found,) = SqlAlerts(databases[0]).deliveries("shop", "alert_1", 10)
    assert (found.status, found.error, found.next_at) == (200, "", None)


def test_neither_a_receiver_that_is_away_nor_a_goal_that_flickers_fills_the_database(
    databases: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_alerts, "MOST_WAITING", 3)
    monkeypatch.setattr(sql_alerts, "MOST_LOGGED", 4)
    store = SqlAlerts(databases[0])
    create(store)
    for number in range(12):
        assert store.tell(store.get("shop", "alert_1"), {}, [(f"dlv_{number:02}", "{}")])
    found = store.deliveries("shop", "alert_1", 100)
    waiting = sorted(one.id for one in found if one.next_at is not None)
    assert waiting == ["dlv_00", "dlv_01", "dlv_02"]
    ended = [one.error for one in found if one.next_at is None]
    assert set(ended) <= {"given up: 3 messages of this alert wait already"}
    # Those of the same millisecond as the first that is too old go with it.
    assert len(ended) <= 4


def test_of_many_that_create_the_same_alert_at_once_all_have_its_secret(databases: list[Database]) -> None:
    """Its creation was cut off, and several processes try it again."""
    stores = [SqlAlerts(one) for one in databases]

    def create_again(ident: str, number: int) -> str:
        return stores[number % 2].create("shop", ident, f"whsec_{number}", BODY, "key")[1]

    with ThreadPoolExecutor(8) as pool:
        for turn in range(10):
            ident = f"alert_{turn}"
            assert len(set(pool.map(create_again, [ident] * 8, range(8)))) == 1
            stores[0].delete("shop", ident, "key")
