"""The event stream: resuming, coalescing, memory's bound, slow clients, the end of a key, the end of the process."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import Request

from api.dashboard import key_guard, stream
from api.dashboard.hub import Hub
from api.dashboard.key_guard import KeyGuard
from app.reporting import Report
from tests.api.conftest import World


class Goals:
    """Goals that a test changes."""

    def __init__(self, number: int = 2) -> None:
        self.items: dict[str, dict[str, Any]] = {
            f"g{n}": {"id": f"g{n}", "current": 0, "target": 100, "expected": 1.0} for n in range(number)
        }
        self.reads = 0

    async def read(self, project: str) -> Report:
        del project
        self.reads += 1
        return Report([dict(item) for item in self.items.values()], None)


async def frame(watch: Any) -> tuple[str, dict[str, Any]]:
    found = await watch.next(60)
    assert found is not None
    return found[0], json.loads(found[1])


async def test_who_comes_back_gets_what_he_missed_and_no_more() -> None:
    goals = Goals()
    hub = Hub(goals.read)
    async with hub.watch("shop") as watch:
        ident, whole = await frame(watch)
        assert len(whole["goals"]) == 2
    goals.items["g1"]["current"] = 5
    async with hub.watch("shop", ident) as watch:
        later, missed = await frame(watch)
        assert [(goal["id"], goal["current"]) for goal in missed["goals"]] == [("g1", 5)]
        assert missed["order"] is None
    async with hub.watch("shop", later) as watch:
        assert await watch.next(0.6) is None


@pytest.mark.parametrize("ident", ["", "x", "00000000-1", "-", "{token}-99999", "{token}-x"])
async def test_an_id_that_means_nothing_here_gets_the_whole(ident: str) -> None:
    hub = Hub(Goals().read)
    async with hub.watch("shop") as first:
        token = (await frame(first))[0].partition("-")[0]
        async with hub.watch("shop", ident.format(token=token)) as watch:
            assert len((await frame(watch))[1]["goals"]) == 2


async def test_what_nobody_sees_move_is_not_sent() -> None:
    goals = Goals()
    async with Hub(goals.read).watch("shop") as watch:
        await frame(watch)
        goals.items["g0"]["expected"] = 1.01
        reads = goals.reads
        assert await watch.next(0.8) is None
        assert goals.reads > reads
        goals.items["g0"]["expected"] = 2.0
        assert [goal["id"] for goal in (await frame(watch))[1]["goals"]] == ["g0"]


async def test_however_often_a_goal_changes_a_client_hears_at_most_five_times_a_second() -> None:
    goals = Goals()
    async with Hub(goals.read).watch("shop") as watch:
        await frame(watch)
        frames, loop = 0, asyncio.get_running_loop()
        begun = loop.time()
        while frames < 4:
            goals.items["g0"]["current"] += 1
            frames += await watch.next(0.01) is not None
        assert loop.time() - begun >= 0.6, "three pauses between four of them"


class Connection:
    """The server's side of a connection, as a stream sees it; takes nothing without `takes`."""

    def __init__(self) -> None:
        self.sent = b""
        self.largest = 0
        self.is_over = False
        self.takes = asyncio.Event()
        self.takes.set()
        self._gone = asyncio.Event()
        self._moved = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await self.takes.wait()
        body = message.get("body", b"")
        self.sent += body
        self.largest = max(self.largest, len(body))
        self.is_over |= message.get("more_body") is False
        self._moved.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(60):
            while text not in self.sent:
                self._moved.clear()
                await self._moved.wait()

    def write(self, text: bytes) -> None:
        self.sent += text

    def get_extra_info(self, name: str) -> None:
        del name

    def close(self) -> None:
        self.is_over = True
        self._gone.set()

    def abort(self) -> None:
        self.close()


@asynccontextmanager
async def streaming(world: World, key: str) -> AsyncIterator[tuple[Connection, asyncio.Task[None]]]:
    """An open stream, driven as the server does."""
    connection = Connection()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/api/goals/stream",
        "raw_path": b"/api/goals/stream",
        "query_string": b"",
        "headers": [(b"x-api-key", key.encode())],
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "root_path": "",
        "state": {"transport": connection},
    }
    app: Any = world.client._transport
    task = asyncio.create_task(app.app(scope, connection.receive, connection.send))
    try:
        yield connection, task
    finally:
        connection.takes.set()
        connection.close()
        await asyncio.wait_for(task, 60)


async def test_a_stream_goes_out_in_small_pieces_with_the_id_at_the_end(world: World) -> None:
    for n in range(60):
        goal = {"metric": f"m{n}", "target": 5, "deadline": "2036-12-31", "description": "x" * 400}
        assert (await world.call("POST", "/api/goals", json=goal)).status_code == 201
    async with streaming(world, world.project_keys["shop"]) as (connection, _):
        await connection.until(b"\nid: ")
        event = connection.sent.partition(b"event: goals\n")[2]
        assert event.index(b"data: ") < event.index(b"\nid: ")
        assert len(connection.sent) > 2 * stream.PIECE_BYTES
        assert connection.largest <= stream.PIECE_BYTES


async def test_a_stream_ends_and_says_so_soon_after_its_key(world: World) -> None:
    key, text = await asyncio.to_thread(lambda: world.keys.create("shop"))
    async with streaming(world, text) as (connection, task):
        await connection.until(b"event: goals")
        await asyncio.to_thread(world.keys.revoke, key.id)
        await connection.until(b"event: ended")
        await asyncio.wait_for(task, 60)
        assert connection.is_over


async def test_a_key_that_ended_is_looked_up_once_however_long_its_streams_linger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    async def has_ended(_: Request) -> bool:
        nonlocal looks
        looks += 1
        return False

    monkeypatch.setattr(key_guard, "_is_still_valid", has_ended)
    monkeypatch.setattr(key_guard, "LOOK_SECONDS", 0)
    guard, hub = KeyGuard(), Hub(Goals().read)
    request = Request({"type": "http", "headers": [(b"x-api-key", b"key")]})
    for number in (1, 2):
        async with asyncio.timeout(60), hub.watch("shop") as watch:
            guard.add(request, watch)
            while not watch.is_ending:
                await watch.next(60)
        for _ in range(20):
            await asyncio.sleep(0)
        assert looks == number


async def test_a_client_that_takes_nothing_is_told_and_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.1)
    async with streaming(world, world.project_keys["shop"]) as (connection, task):
        await connection.until(b"event: goals")
        connection.takes.clear()
        await asyncio.wait_for(task, 60)
        assert b"event: dropped" in connection.sent
        assert connection.is_over


async def test_a_request_leaves_no_circle_of_objects(world: World) -> None:
    """The collector comes by seldom, and streams live long: half a megabyte a second where many clients come and go."""

    async def ask() -> None:
        async with streaming(world, world.project_keys["shop"]) as (connection, _):
            await connection.until(b"event: goals")
        assert (await world.call("GET", "/api/goals")).status_code == 200
        assert (await world.call("GET", "/nowhere")).status_code == 404
        assert (await world.call("POST", "/api/goals", json={})).status_code == 422

    await ask()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await ask()
        gc.collect()
        left = {type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith(("api.", "app."))}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == set()


async def test_streams_end_with_the_process(world: World) -> None:
    async with streaming(world, world.project_keys["shop"]) as (connection, task):
        await connection.until(b"event: goals")
        app: Any = world.client._transport
        inner = app.app
        while not hasattr(inner, "state"):
            inner = inner._app if hasattr(inner, "_app") else inner.app
        inner.state.end_soon()
        await asyncio.wait_for(task, 60)
        assert connection.is_over


async def test_the_worker_that_tabs_share_may_only_talk_to_us(world: World) -> None:
    answer = await world.client.get("/stream-worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["content-security-policy"] == "default-src 'none'; script-src 'self'; connect-src 'self'"
