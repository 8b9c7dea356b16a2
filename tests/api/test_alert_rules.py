"""Rules of alerts over HTTP: who may make and see them, how many there are, and what is refused."""

from __future__ import annotations

import pytest

from app.stores.alert_rows import MOST
from app.stores.sql_answers import SqlAnswers
from tests.api.conftest import World
from tests.api.test_alerts import alert
from tests.api.test_goals import GOAL, create


async def test_the_secret_is_told_once(world: World) -> None:
    made = await alert(world)
    secret, _ = made.pop("secret"), made.pop("warnings")
    assert len(secret) > 60
    assert (await world.call("GET", f"/api/alerts/{made['id']}")).json() == made
    assert (await world.call("GET", "/api/alerts")).json() == [made]
    edited = await world.call("PATCH", f"/api/alerts/{made['id']}", json={"name": "Say"})
    assert edited.json() == {**made, "name": "Say", "warnings": []}
    audit = await world.call("GET", "/api/audit")
    actions = [one["action"] for one in audit.json()["entries"] if one["kind"] == "alert"]
    assert actions == ["edit", "create"]
    assert secret not in audit.text
    assert (await world.call("DELETE", f"/api/alerts/{made['id']}")).json() == {"id": made["id"], "deleted": True}
    assert (await world.call("GET", f"/api/alerts/{made['id']}")).status_code == 404


async def test_an_alert_whose_answer_was_cut_off_is_not_created_again_and_has_its_first_secret(world: World) -> None:
    body = {"name": "Tell", "url": "https://hooks.example.com/x", "when": "status_change"}
    headers = {"idempotency-key": "k1"}
    first = (await world.call("POST", "/api/alerts", json=body, headers=headers)).json()
    SqlAnswers(world.database, abandoned_ms=60_000).forget("shop", "k1")
    second = await world.call("POST", "/api/alerts", json=body, headers=headers)
    assert (second.status_code, second.json()) == (201, first)
    assert [one["id"] for one in (await world.call("GET", "/api/alerts")).json()] == [first["id"]]
    elsewhere = await world.call("POST", "/api/alerts", "other", json=body, headers=headers)
    assert (elsewhere.status_code, elsewhere.json()["id"] == first["id"]) == (201, False)
    SqlAnswers(world.database, abandoned_ms=60_000).forget("shop", "k1")
    another = await world.call("POST", "/api/alerts", json={**body, "name": "Say"}, headers=headers)
    assert another.status_code == 409


async def test_who_may_only_read_sees_no_webhook(world: World) -> None:
    made = await alert(world)
    _, reader = world.keys.create("shop", scopes=("read",))
    for method, path in (
        ("GET", "/api/alerts"),
        ("GET", f"/api/alerts/{made['id']}"),
        ("GET", f"/api/alerts/{made['id']}/deliveries"),
        ("POST", f"/api/alerts/{made['id']}/test"),
    ):
        assert (await world.client.request(method, path, headers={"x-api-key": reader})).status_code == 403, path


async def test_a_project_has_so_many_alerts_at_most(world: World) -> None:
    for _ in range(MOST):
        await alert(world)
    body = {"name": "Tell", "url": "https://hooks.example.com/x", "when": "status_change"}
    assert (await world.call("POST", "/api/alerts", json=body)).status_code == 409
    assert (await world.call("POST", "/api/alerts", "other", json=body)).status_code == 201


async def test_goals_that_are_not_there_are_told(world: World) -> None:
    goal = await create(world, GOAL)
    mistyped = goal["id"][:-1] + "_"
    made = await alert(world, goalIds=[goal["id"], mistyped])
    assert made["warnings"] == [f"No goal has the id {mistyped!r} (yet). Did you mean {goal['id']!r}?"]
    edited = await world.call("PATCH", f"/api/alerts/{made['id']}", json={"goalIds": ["xyz"]})
    assert edited.json()["warnings"] == ["No goal has the id 'xyz' (yet)."]
    edited = await world.call("PATCH", f"/api/alerts/{made['id']}", json={"goalIds": [goal["id"]]})
    assert edited.json()["warnings"] == []


@pytest.mark.parametrize("no_id", [["x"], {}, 5, None])
async def test_what_is_no_id_is_refused_with_its_place(world: World, no_id: object) -> None:
    await create(world, GOAL)
    body = {"name": "Tell", "url": "https://hooks.example.com/x", "when": "status_change", "goalIds": [no_id]}
    refused = await world.call("POST", "/api/alerts", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/goalIds/0"), refused.text
