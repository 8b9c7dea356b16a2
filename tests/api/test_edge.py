"""What holds for every answer: its headers, its time, its size, and the shape of its errors."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest

from api import middleware
from api.problems import CODES, TITLES
from app import reporting
from tests.api.conftest import World

STREET = "/secret/path SELECT password FROM users"


async def test_a_defect_of_ours_tells_nothing_of_the_inside(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError(STREET)

    monkeypatch.setattr(type(world.definitions), "current", fail)
    with caplog.at_level(logging.INFO):
        answer = await world.call("GET", "/api/goals", headers={"x-request-id": "r-1"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    fields = line.__dict__["fields"]
    assert fields["requestId"] == "r-1"
    assert fields["kind"] == "KeyError"
    assert "app.reporting" in fields["where"]
    assert line.exc_info is None
    assert STREET not in line.getMessage()


async def test_a_store_that_hangs_is_a_store_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(type(world.counters), "read", hang)
    monkeypatch.setattr(reporting, "PATIENCE_SECONDS", 0.1)
    answer = await world.call("GET", "/api/goals")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_an_answer_that_does_not_begin_in_time_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.05)
    services = world.client._transport.app.state.services  # type: ignore[attr-defined]  # of the ASGI transport
    monkeypatch.setattr(type(services), "pipeline", property(lambda _: hang), raising=False)
    answer = await world.call("GET", "/api/pipeline")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_a_body_that_never_ends_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.1)

    async def slowly() -> Any:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    answer = await world.call("POST", "/api/goals", content=slowly(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (408, "too_slow")


@pytest.mark.parametrize(
    "content",
    [b'{"metric": "\\ud800", "target": 1}', b'{"\xed\xa0\x80": 1}', b'{"target": 1e999}', b"\xff\xfe{\x00}\x00"],
    ids=["half a pair", "encoded half", "too large", "UTF-16"],
)
async def test_what_no_answer_could_repeat_is_refused(world: World, content: bytes) -> None:
    answer = await world.call("POST", "/api/goals", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


async def test_a_method_that_is_not_there_names_those_that_are(world: World) -> None:
    answer = await world.call("PUT", "/api/goals")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, POST"


async def test_head_is_answered_like_get(world: World) -> None:
    assert (await world.client.head("/health/live")).status_code == 200
    assert (await world.call("HEAD", "/api/goals")).headers["etag"]


async def test_the_type_of_a_problem_resolves_to_its_explanation(world: World) -> None:
    page = await world.client.get("/docs/errors")
    anchors = set(re.findall(r'id="([a-z_]+)"', page.text))
    assert {kind for kind, _ in TITLES.values()} | set(CODES) <= anchors
    for answer in (
        await world.call("GET", "/nowhere"),
        await world.client.get("/api/goals"),
        await world.call("POST", "/api/events", json=[]),
    ):
        address, _, anchor = answer.json()["type"].partition("#")
        assert address == "/docs/errors"
        assert anchor in anchors


async def test_the_access_log_has_ids_and_no_keys(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "api.access"):
        await world.call("GET", "/api/goals?key=sk_query", headers={"x-request-id": "r-2"})
    (line,) = [record for record in caplog.records if record.name == "api.access"]
    fields = line.__dict__["fields"]
    assert (fields["requestId"], fields["route"], fields["status"], fields["project"]) == (
        "r-2",
        "/api/goals",
        200,
        "shop",
    )
    written = json.dumps(fields) + line.getMessage()
    assert world.project_keys["shop"] not in written
    assert "sk_query" not in written
