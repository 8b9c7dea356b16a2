"""Who asks: how long a key is believed, what wrong keys cost, and whom they do not touch."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from api import auth, middleware
from api.refusals import LateAnswers
from app.domain.api_key import key_text
from app.errors import StoreUnavailable
from config.logging import ACCESS, LINES_PER_MINUTE, RateLimit
from tests.api.conftest import World


@pytest.fixture(autouse=True)
def late(world: World, monkeypatch: pytest.MonkeyPatch) -> LateAnswers:
    """Where the answers to those who are turned away wait; not long here."""
    found: LateAnswers = world.client._transport.app.state.late_answers  # type: ignore[attr-defined]  # ASGI transport
    monkeypatch.setattr(found, "_least_seconds", 0.0)
    monkeypatch.setattr(found, "_pause", 0.0)
    return found


def doorkeeper(world: World) -> auth.Doorkeeper:
    found: auth.Doorkeeper = world.client._transport.app.state.doorkeeper  # type: ignore[attr-defined]  # ASGI transport
    return found


async def ask(world: World, key: str) -> int:
    return (await world.client.get("/api/goals", headers={"x-api-key": key})).status_code


async def fail_too_often(world: World) -> None:
    """From now on who shows an unknown key is turned away."""
    for number in range(30):
        await ask(world, f"sk_wrong_{number}_x")


def count_look_ups(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    original = world.keys.authenticate

    def authenticate(text: str) -> Any:
        asked.append(text)
        return original(text)

    monkeypatch.setattr(world.keys, "authenticate", authenticate)
    return asked


async def test_a_mistyped_key_is_not_looked_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count_look_ups(world, monkeypatch)
    key = world.project_keys["shop"]
    for wrong in (key[:-1], key.replace("_", "-"), "x" * 100_000, key[:20] + "!" + key[21:], "sk_a_b_c", "sk_é_b_c"):
        answer = await world.client.get("/api/goals", headers=[(b"x-api-key", wrong.encode())])
        assert answer.status_code in {401, 429}
    assert asked == []


async def test_a_key_is_looked_up_once_for_many_requests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count_look_ups(world, monkeypatch)
    assert await asyncio.gather(*(ask(world, world.project_keys["shop"]) for _ in range(20))) == [200] * 20
    assert len(asked) == 1


async def test_a_revoked_key_ends_within_a_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(doorkeeper(world), "_clock", lambda: clock[0])
    key = world.project_keys["shop"]
    assert await ask(world, key) == 200
    world.keys.revoke(key.split("_")[1])
    clock[0] += 1.0
    assert await ask(world, key) == 401


async def test_who_was_known_is_believed_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(doorkeeper(world), "_clock", lambda: clock[0])
    assert await ask(world, world.project_keys["shop"]) == 200

    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("sql", "away")

    monkeypatch.setattr(world.keys, "authenticate", away)
    monkeypatch.setattr(type(world.definitions), "current", away)
    clock[0] += 100
    answer = await world.call("GET", "/api/goals")
    assert (answer.status_code, answer.headers["x-stale"]) == (200, "true")
    assert await ask(world, world.project_keys["other"]) == 503
    clock[0] += auth.BELIEVED_SECONDS
    assert await ask(world, world.project_keys["shop"]) == 503


async def test_wrong_keys_of_an_address_are_limited_and_nobody_else_notices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(doorkeeper(world), "_clock", lambda: clock[0])
    assert await ask(world, world.project_keys["shop"]) == 200
    asked = count_look_ups(world, monkeypatch)
    statuses = [await ask(world, key_text("abcdefgh", f"secret{number}")) for number in range(60)]
    assert set(statuses[:30]) == {401}
    assert set(statuses[30:]) == {429}
    assert len(asked) == 30
    clock[0] += 5
    assert await ask(world, world.project_keys["shop"]) == 200, "from the same address, but known"
    clock[0] += 60
    assert await ask(world, world.project_keys["other"]) == 200, "a minute later"


async def test_who_is_not_known_yet_has_a_turn_although_his_address_fails_too_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy that is not named in the settings everybody has one address."""
    clock = [1000.0]
    monkeypatch.setattr(doorkeeper(world), "_clock", lambda: clock[0])
    await fail_too_often(world)
    good, wrong = world.project_keys["shop"], key_text("abcdefgh", "0" * 32)
    assert await ask(world, good) == 429, "the last failure was just now"
    clock[0] += auth._TURN_SECONDS
    assert await ask(world, "sk_wrong_a_x") == 429, "what cannot be a key takes nobody's turn"
    assert [await ask(world, wrong) for _ in range(3)] == [401, 429, 429]
    assert await ask(world, good) == 429
    clock[0] += auth._TURN_SECONDS
    assert [await ask(world, good) for _ in range(3)] == [200] * 3


async def test_of_a_flood_that_begins_at_once_few_keys_are_looked_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them at once would take longer than a look-up may, and that is nobody's failure."""
    monkeypatch.setattr(doorkeeper(world), "_clock", lambda: 1000.0)
    asked, most, under_way = count_look_ups(world, monkeypatch), 0, 0
    look_up = doorkeeper(world)._look_up

    async def watched(*given: Any, is_session: bool) -> Any:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        try:
            return await look_up(*given, is_session=is_session)
        finally:
            under_way -= 1

    monkeypatch.setattr(doorkeeper(world), "_look_up", watched)
    wrong = [key_text(f"{number:08x}", "0" * 32) for number in range(300)]
    answers = await asyncio.gather(*(ask(world, key) for key in wrong))
    assert (answers.count(401), answers.count(429)) == (len(asked), 300 - len(asked))
    assert 30 <= len(asked) < 30 + auth._FIRST_LOOK_UPS_AT_ONCE
    assert most <= auth._FIRST_LOOK_UPS_AT_ONCE
    assert not doorkeeper(world)._turns


async def test_signing_in_is_limited_like_any_other_use_of_a_key(world: World) -> None:
    answers = [await world.client.post("/session", json={"apiKey": f"sk_wrong_{n}_x"}) for n in range(40)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429] * 10


async def test_a_refusal_is_late_so_that_a_flood_is_slow(
    world: World, late: LateAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_too_often(world)
    monkeypatch.setattr(late, "_least_seconds", 0.3)
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.1)
    begun = time.monotonic()
    in_headers = [ask(world, f"sk_wrong_{number}_y") for number in range(5)]
    in_cookies = [world.client.get("/api/goals", headers={"cookie": f"{auth.SESSION_COOKIE}=wrong{n}"}) for n in "ab"]
    in_body = world.client.post("/session", json={"apiKey": "sk_wrong_z_x"})
    assert await asyncio.gather(*in_headers) == [429] * 5, "waiting is no slow answer"
    assert [answer.status_code for answer in await asyncio.gather(*in_cookies, in_body)] == [429] * 3
    assert time.monotonic() - begun >= 0.6, "those in headers, then the others"


async def test_who_was_turned_away_is_answered_when_the_process_ends(
    world: World, late: LateAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_too_often(world)
    monkeypatch.setattr(late, "_least_seconds", 3600.0)
    waiting = [asyncio.create_task(ask(world, f"sk_wrong_{number}_y")) for number in range(3)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert late.waiting == 3
    world.client._transport.app.state.end_soon()  # type: ignore[attr-defined]  # ASGI transport
    async with asyncio.timeout(30):
        assert await asyncio.gather(*waiting) == [429] * 3


async def test_a_flood_is_refused_before_anything_is_done_for_it(world: World) -> None:
    await fail_too_often(world)
    headers = {"x-api-key": "sk_wrong_a_x"}
    for path in ("/nowhere", "/api/goals"):
        answer = await world.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_failures"), path
        assert int(answer.headers["retry-after"]) > 0
    assert (await world.client.get("/health/live")).status_code == 200, "who shows no key is not refused"


async def test_a_flood_does_not_fill_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, ACCESS):
        for number in range(40):
            await ask(world, f"sk_wrong_{number}_x")
        for number in range(20):
            await world.client.get("/api/goals", headers={"cookie": f"{auth.SESSION_COOKIE}=wrong{number}"})
    limit = RateLimit()
    lines = [record for record in caplog.records if record.name.startswith(ACCESS) and limit.filter(record)]
    statuses = [record.__dict__["fields"]["status"] for record in lines]
    assert [statuses.count(status) for status in (401, 429)] == [30, LINES_PER_MINUTE]


async def test_more_than_can_wait_are_let_go(world: World, late: LateAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "_most_waiting", 0)
    await fail_too_often(world)
    answer = await world.client.get("/api/goals", headers={"x-api-key": "sk_wrong_a_x"})
    assert (answer.status_code, answer.headers["connection"]) == (429, "close")


async def test_the_page_does_not_use_up_what_scripts_may_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    async def take(project: str, kind: str, cost: int) -> tuple[bool, int, int, float]:
        del project, cost
        kinds.append(kind)
        return True, 10, 9, 0.0

    services = world.client._transport.app.state.services  # type: ignore[attr-defined]  # of the ASGI transport
    monkeypatch.setattr(services.limits, "take", take, raising=False)
    await world.client.post("/session", json={"apiKey": world.project_keys["shop"]})
    assert (await world.client.get("/api/goals")).status_code == 200
    assert await ask(world, world.project_keys["shop"]) == 200
    assert kinds == ["page_reads", "reads"]
