"""The page on a real socket, over a real database and counters in memory: for browsers, without Kafka and workers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from playwright.sync_api import Page, expect

from api.serving import make_server
from app.domain.fields import goal_owner
from app.domain.history import Project
from app.domain.increments import Increments, Position, Simple
from config.settings import Settings
from tests.api.conftest import World, surrounded
from tests.builders import version
from tests.chromium import PATIENCE_MS
from tests.end_to_end.processes import eventually

T = TypeVar("T")
POSITION = Position("events", 0)


class Site:
    """The server lives in a thread; what it counted is said here."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self.world = world
        self.url = url
        self._loop = loop
        self._http = httpx.Client(base_url=url, timeout=60)
        self.key = ""
        self.project = "shop"
        self._use(world.project_keys["shop"])

    def close(self) -> None:
        self._http.close()

    def work_in(self, project: str) -> None:
        """With a new key of that project, from now on."""
        self.project = project
        self._use(self.world.keys.create(project)[1])

    def _use(self, key: str) -> None:
        self.key = self._http.headers["x-api-key"] = key

    def post(self, path: str, body: object) -> httpx.Response:
        return self._http.post(path, json=body)

    def get(self, path: str) -> Any:
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create_goal(self, **fields: object) -> str:
        answer = self.post("/api/goals", {"metric": "m", "target": 10, "deadline": "2036-12-31", **fields})
        assert answer.status_code == 201, answer.text
        ident: str = answer.json()["id"]
        return ident

    def define_goals(self, number: int) -> list[str]:
        """So many goals at once, in a project of their own; their ids."""
        body = {"target": 1000, "deadline": "2036-12-31", "startsAt": "2026-01-01", "unit": "signups"}
        names = [f"goal_{n:03}" for n in range(number)]
        made = [
            version("goal", name, {**body, "metric": name, "description": f"Signups of campaign {name}"}, "many")
            for name in names
        ]
        self.world.definitions.restore(Project("many", "many", "UTC", 0), made, "somebody")
        self.work_in("many")
        return names

    def read(self, path: str) -> bytes:
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.content

    def first_frame(self) -> bytes:
        """What a stream begins with."""
        with self._http.stream("GET", "/api/goals/stream") as answer:
            found = b""
            for piece in answer.iter_raw():
                found += piece
                if b"\nid: " in found:
                    return found
        raise AssertionError(found)

    def count(self, goal_id: str, number: int, *, last_at: int = 0) -> None:
        """So many more conversions of the goal, none of which is in the log. `last_at`: when the newest occurred."""

        async def act() -> None:
            counters = self.world.counters
            (offsets,) = await counters.checkpoints([POSITION])
            increments = Increments(POSITION, 0, offsets[0], offsets[0] + number, self.world.now)
            owner = goal_owner(goal_id)
            last = (owner,) if last_at else ()
            counted = Simple(self.project, 0, ((owner, "n"),), without_id=number, last=last, newest_without_id=last_at)
            increments.simple = [counted]
            await counters.apply([increments])

        self.run(act())

    def streams(self) -> int:
        """Event streams that are open now."""
        lines = self._http.get("/metrics").text.splitlines()
        return int(float(next(line for line in lines if line.startswith("scorekeeper_event_streams ")).split()[1]))

    def sign_in(self, page: Page) -> None:
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{self.url}/sign-in")
        page.get_by_label("API key").fill(self.key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#connection")).to_have_text("live")

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        """In the server's thread."""
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(60)


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """A site with the projects shop and other, and nothing in them."""
    loop = asyncio.new_event_loop()
    told: list[Any] = []
    is_over = asyncio.Event()

    async def serve() -> None:
        async with surrounded(folder, is_today=True) as world:
            world.now = world.counters.fresh_as_of = int(time.time() * 1000)
            transport: Any = world.client._transport
            server = make_server(transport.app, Settings(port=0), lambda: None)
            task = asyncio.create_task(server.serve())
            while not server.started:  # uvicorn has a flag and no event
                assert not task.done(), "the server did not start"
                await asyncio.sleep(0.01)
            told.append((world, server.servers[0].sockets[0].getsockname()[1]))
            await is_over.wait()
            world_app(world).state.hub.close_soon()
            server.should_exit = True
            await task

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="site")
    thread.start()
    eventually(lambda: told or not thread.is_alive(), 60, "the site")
    world, port = told[0]
    site = Site(world, loop, f"http://127.0.0.1:{port}")
    try:
        yield site
    finally:
        site.close()
        loop.call_soon_threadsafe(is_over.set)
        thread.join(60)


def world_app(world: World) -> Any:
    """The application inside of what stands around it."""
    transport: Any = world.client._transport
    inner = transport.app
    while not hasattr(inner, "state"):
        inner = inner._app if hasattr(inner, "_app") else inner.app
    return inner
