"""What holds for every answer: its headers, its time, its size, and the shape of its errors."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from api import middleware, problems
from api.problems import CODES, TITLES
from api.services import Services
from app import last_lists, reporting
from tests.api.conftest import World, surrounded


def services_in(world: World) -> Services:
    found: Services = world.client._transport.app.state.services  # type: ignore[attr-defined]  # of the ASGI transport
    return found


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
    services = services_in(world)
    monkeypatch.setattr(type(services), "pipeline", property(lambda _: hang), raising=False)
    answer = await world.call("GET", "/api/pipeline")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


QUESTION = {"name": "A", "eventType": "a"}


async def test_a_question_with_a_body_gets_no_time_for_changing_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    async with surrounded(tmp_path, write_seconds=600.0) as world:
        monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.1)
        monkeypatch.setattr(type(services_in(world).recent), "recent", hang)
        async with asyncio.timeout(60):
            answer = await world.call("POST", "/api/conversion-goals/preview", json=QUESTION)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_what_is_done_before_the_body_is_read_takes_from_the_answers_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(*_: Any) -> tuple[bool, int, int, float]:
        await asyncio.sleep(0.6)
        return True, 0, 0, 0.0

    monkeypatch.setattr(type(services_in(world).limits), "take", take)
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.5)
    answer = await world.call("POST", "/api/conversion-goals/preview", json=QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_who_comes_while_a_look_hangs_does_not_wait_for_his_own_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a page that is open, whose looks follow each other, would keep the API from giving what is known."""
    await world.call("POST", "/api/goals", json={"metric": "m", "target": 5, "deadline": "2099-12-31"})
    assert (await world.call("GET", "/api/goals")).status_code == 200
    is_hanging, given_up = asyncio.Event(), 0

    async def hang(*_: Any) -> None:
        nonlocal given_up
        is_hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up += 1

    for asked in ("read", "mark"):
        monkeypatch.setattr(type(world.counters), asked, hang)
    monkeypatch.setattr(last_lists, "LONGEST_REUSE_SECONDS", 0.0)
    monkeypatch.setattr(reporting, "PATIENCE_SECONDS", 1.0)
    first = asyncio.create_task(world.call("GET", "/api/goals"))
    await is_hanging.wait()
    second = await world.call("GET", "/api/goals")
    assert [one["stale"] for one in second.json()] == [True]
    assert given_up == 1
    assert [one["stale"] for one in (await first).json()] == [True]


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


async def test_a_definition_that_names_a_field_twice_is_refused_and_an_event_is_read_like_the_log(world: World) -> None:
    headers = {"content-type": "application/json"}
    twice = b'{"metric": "orders", "target": 1, "filter": {"a": 1}, "target": 2}'
    answer = await world.call("POST", "/api/goals", content=twice, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert "the field 'target' twice" in answer.json()["detail"]
    event = b'{"event": {"projectKey": "shop", "type": "seen", "type": "purchase"}}'
    answer = await world.call("POST", "/api/conversion-goals/explain", content=event, headers=headers)
    assert (answer.status_code, answer.json()["event"]["type"]) == (200, "purchase")


async def test_a_method_that_is_not_there_names_those_that_are(world: World) -> None:
    answer = await world.call("PUT", "/api/goals")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, POST"
    assert answer.json()["detail"] == "This path does not take PUT. It takes DELETE, GET, HEAD, PATCH, POST."


async def test_a_path_that_is_not_there_is_named(world: World) -> None:
    for path, meant in (
        ("/api/gaols", "Did you mean '/api/goals'? "),
        ("/api/conversion_goals", "Did you mean '/api/conversion-goals'? "),
        ("/api/goals/", "Did you mean '/api/goals'? "),
        ("/api/goals//", "Did you mean '/api/goals'? "),
        ("/api/goals/goal_1/", "Did you mean '/api/goals/goal_1'? "),
        ("/goal", ""),
        ("/api/customers", ""),
    ):
        answer = await world.call("GET", path)
        assert answer.json()["detail"] == f"There is nothing at {path!r}. {meant}/docs lists all paths."


async def test_nothing_is_posted_to_an_address_with_a_slash_too_many(world: World) -> None:
    answer = await world.call("POST", "/api/goals/", json={"metric": "m", "target": 1, "deadline": "2036-12-31"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "'/api/goals'" in answer.json()["detail"]


async def test_a_browser_is_led_to_the_page_without_the_slash(world: World) -> None:
    html = {"accept": "text/html"}
    places = {
        "/pipeline/": "/pipeline",
        "/goals/g%C3%A4/": "/goals/g%C3%A4",
        "/explain/?id=a%26b": "/explain?id=a%26b",
    }
    for path, place in places.items():
        answer = await world.client.get(path, headers=html)
        assert (answer.status_code, answer.headers["location"]) == (307, place)
    for path in ("//evil.example/", "/nowhere/"):
        assert (await world.client.get(f"http://scorekeeper{path}", headers=html)).status_code == 404


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("GET /api/dead-letters?limit=x", "/limit: it is 'x', not a whole number. Give digits alone, like 20."),
        ("GET /api/dead-letters?limit=0", "/limit: it is '0'. At least 1 is allowed."),
        ("GET /api/dead-letters?limit=501", "/limit: it is '501'. At most 200 is allowed."),
        ("GET /api/conversion-goals?after=" + 201 * "a", "/after: it is too long. At most 200 characters are allowed."),
        ("DELETE /api/goals?id=", "/id: it is empty. Give it in the address, after the =."),
        ("DELETE /api/goals?ID=g", "/ID: there is no such parameter. Did you mean 'id'?"),
        ("GET /api/goals?status=behind", "/status: there is no such parameter. This path takes none."),
        ("GET /api/goals/stream?metric=a", "/metric: there is no such parameter. This path takes none."),
        ("GET /api/conversion-goals?q=x&limit=2", "/q: there is no such parameter. Known are: limit, after."),
        ("GET /api/conversion-goals?limit=1&limit=2", "/limit: it is given 2 times: '1', '2'. Give it once."),
        ("DELETE /api/goals?id=g&id=g", "/id: it is given 2 times: 'g', 'g'. Give it once."),
        ("GET /api/conversion-goals?limt=2", "/limt: there is no such parameter. Did you mean 'limit'?"),
    ],
)
async def test_what_is_wrong_in_an_address_is_told_with_value_and_remedy(
    world: World, address: str, detail: str
) -> None:
    method, path = address.split()
    answer = await world.call(method, path)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)
    (fault,) = answer.json()["errors"]
    assert all(fault.values())


@pytest.mark.parametrize("path", ["/api/goals", "/api/conversion-goals"])
@pytest.mark.parametrize("ident", [5, ["x"], {}, True])
async def test_an_id_of_another_type_is_not_said_to_be_missing(world: World, path: str, ident: object) -> None:
    answer = await world.call("PATCH", path, json={"id": ident, "status": "paused"})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "/id: it is not a string. Name what to change by its id.",
    )


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
async def test_a_number_that_json_does_not_have_is_named(world: World, number: str) -> None:
    headers = {"content-type": "application/json"}
    answer = await world.call("POST", "/api/goals", content=f'{{"target": {number}}}'.encode(), headers=headers)
    detail = f"The body is not JSON: {number} is no number. Give a finite one, like 1000 or 19.9."
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)


async def test_events_that_are_no_json_are_told_where(world: World) -> None:
    headers = {"content-type": "application/json"}
    answer = await world.call("POST", "/api/events", content=b'{"type": "a", x}', headers=headers)
    assert answer.status_code == 400
    assert "(byte 14)" in answer.json()["detail"]


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


def test_every_code_that_is_answered_is_documented() -> None:
    sources = [path.read_text() for path in Path(problems.__file__).parent.rglob("*.py")]
    used = {code for source in sources for code in re.findall(r'\bcode="(\w+)"', source)}
    assert "still_working" in used
    assert used <= set(CODES)


async def test_the_access_log_has_ids_and_no_keys(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "api.access"):
        answer = await world.call("GET", "/api/goals?key=sk_query", headers={"x-request-id": "r-2"})
    (line,) = [record for record in caplog.records if record.name == "api.access"]
    fields = line.__dict__["fields"]
    assert (fields["requestId"], fields["route"], fields["status"], fields["project"]) == (
        "r-2",
        "/api/goals",
        422,
        "shop",
    )
    written = json.dumps(fields) + line.getMessage()
    assert world.project_keys["shop"] not in written
    assert "sk_query" not in written + answer.text


@pytest.mark.parametrize("kind", ["conversion-goals", "goals", "alerts"])
async def test_a_wrong_name_is_told_also_where_nothing_is_in_it(world: World, kind: str) -> None:
    bodies: dict[str, dict[str, object]] = {
        "conversion-goals": {"name": "Sign-up", "eventType": "signup", "urlPattern": None},
        "goals": {"metric": "signup", "target": 5, "deadline": "2099-12-31", "denominatorMetric": None},
        "alerts": {"name": "Tell", "url": "https://hooks.example.com/x", "when": "status_change", "goalIds": None},
    }
    path, body = f"/api/{kind}", bodies[kind]
    refused = await world.call("POST", path, json={**body, "nonsense": None})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/nonsense"), refused.text
    made = await world.call("POST", path, json=body)
    assert made.status_code == 201, made.text
    ident = made.json()["id"]
    own, named = (f"{path}/{ident}", {}) if kind == "alerts" else (path, {"id": ident})
    refused = await world.call("PATCH", own, json={**named, "nonsense": None})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/nonsense"), refused.text
    missing = await world.call("PATCH", own, json={**named, "metric" if kind == "goals" else "name": None})
    assert missing.status_code == 422, "what is required cannot be taken away"
    optional = next(name for name, value in body.items() if value is None)
    assert (await world.call("PATCH", own, json={**named, optional: None})).status_code == 200
