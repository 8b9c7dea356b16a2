"""The pipeline over HTTP: each project sees its own, and who may change what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.ports import Which
from app.stores.generations import GenerationState
from tests.api.conftest import World


async def operator_key(world: World, *scopes: str) -> dict[str, str]:
    scopes = (*scopes, "read", "operator")
    _, text = await asyncio.to_thread(lambda: world.keys.create("shop", scopes=scopes))
    return {"x-api-key": text}


async def test_a_project_sees_its_own_accounting_only(world: World) -> None:
    found = (await world.call("GET", "/api/pipeline")).json()
    assert found["projects"] == {"shop": {"received": 1}}


async def test_nothing_that_another_project_moves_is_told(world: World) -> None:
    """Two readings that differ by what the other project does, in every figure, are told alike."""
    world.pipeline["losses"] = [{"topic": "events", "partition": 0, "from": 1, "to": 2, "number": 1, "at": "then"}]
    before = (await world.call("GET", "/api/pipeline")).json()
    world.pipeline["projects"]["other"] = {"received": 1_002}
    world.pipeline["revision"] += 5
    world.pipeline["lag"] += 1_000
    world.pipeline["partitions"][0].update(checkpoint=1_003, end=2_003, lag=1_000, received=1_003, counted=1_002)
    world.pipeline["partitions"][0].update(rejected={"too_old": 1}, first=1, duplicate=5, unmatched=7)
    world.pipeline["workers"][0].update(received=1_003, counted=1_002, rate=99.0, revision=6)
    world.pipeline["losses"][0].update(number=7, to=8)
    world.pipeline["generations"][0].update(counted=2_003, messages=2_003)
    assert (await world.call("GET", "/api/pipeline")).json() == before
    assert before["whole"] is False
    assert [row["freshAsOf"] for row in before["partitions"]] == ["2027-01-15T08:00:00.000Z"]
    assert [row["alive"] for row in before["workers"]] == [True]
    assert "machine-7" not in str(before)


async def test_operators_and_projects_that_are_alone_see_all_of_it(world: World) -> None:
    wanted = {"whole": True, **world.pipeline}
    found = await world.client.get("/api/pipeline", headers=await operator_key(world))
    assert found.json() == wanted
    del world.pipeline["projects"]["other"]
    assert (await world.call("GET", "/api/pipeline")).json() == {"whole": True, **world.pipeline}


async def test_an_operator_sees_letters_that_name_no_project_and_shows_a_counting(world: World) -> None:
    headers = await operator_key(world, "admin")
    await world.client.get("/api/dead-letters", headers=headers)
    assert world.asked is not None
    assert world.asked.projects == frozenset({"shop", ""})
    world.generations = [GenerationState(1, 0, True, None), GenerationState(2, 0, True, 1)]
    assert (await world.client.post("/api/generations/2/show", headers=headers)).status_code == 200
    assert world.shown_generation == 2


async def test_without_redis_the_state_is_unknown_and_not_zero(world: World) -> None:
    world.redis_is_away = True
    assert (await world.call("GET", "/api/pipeline")).status_code == 503


async def test_letters_of_no_project_are_nobodys_while_there_are_several(world: World) -> None:
    world.letters = [{"id": "events/0/7", "reason": "too_old"}]
    found = (await world.call("GET", "/api/dead-letters?reason=too_old")).json()
    assert found == {"letters": world.letters, "next": None}
    assert world.asked == Which("too_old", frozenset({"shop"}))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"reason": "sour"}, "/reason"),
        ({"reason": ["too_old"]}, "/reason"),
        ({"ids": []}, "/ids"),
        ({"ids": "events/0/7"}, "/ids"),
        ({"reasn": "too_old"}, "/reasn"),
        ({"all": "yes"}, ""),
    ],
)
async def test_a_replay_says_what_is_wrong_with_its_choice(world: World, body: Any, pointer: str) -> None:
    refused = await world.call("POST", "/api/dead-letters/replay", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert world.asked is None


async def test_a_replay_sends_letters_of_the_keys_project(world: World) -> None:
    world.letters = [{"id": "events/0/7"}]
    done = await world.call("POST", "/api/dead-letters/replay", json={"ids": ["events/0/7"]})
    assert (done.status_code, done.json()) == (200, {"replayed": 1})
    assert world.asked == Which(None, frozenset({"shop"}), None, frozenset({"events/0/7"}))


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [("read", "POST", "/api/dead-letters/replay"), ("write", "POST", "/api/generations/2/show")],
)
async def test_a_key_that_lacks_the_scope_changes_nothing(world: World, scope: str, method: str, path: str) -> None:
    world.generations = [GenerationState(2, 0, True, None)]
    _, text = await asyncio.to_thread(lambda: world.keys.create("shop", scopes=[scope]))
    refused = await world.client.request(method, path, headers={"x-api-key": text}, json={"all": True})
    assert refused.status_code == 403
    assert (world.asked, world.shown_generation) == (None, 1)


async def test_what_all_projects_show_is_changed_by_none_of_them(world: World) -> None:
    world.generations = [GenerationState(2, 0, True, 1)]
    refused = await world.call("POST", "/api/generations/2/show")
    assert (refused.status_code, refused.json()["code"]) == (403, "concerns_all_projects")
    assert world.shown_generation == 1


async def test_only_a_finished_counting_is_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop, *_) = world.definitions.projects()
    monkeypatch.setattr(world.definitions, "projects", lambda: [shop])
    world.generations = [GenerationState(1, 0, True, None), GenerationState(2, 0, False, 1)]
    assert (await world.call("POST", "/api/generations/2/show")).json()["code"] == "unfinished"
    assert (await world.call("POST", "/api/generations/3/show")).status_code == 404
    world.generations[1] = GenerationState(2, 0, True, 1)
    assert (await world.call("POST", "/api/generations/2/show")).json() == {"generation": 2}
    assert world.shown_generation == 2
