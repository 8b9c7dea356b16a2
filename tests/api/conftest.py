"""The API on a real database and in-memory counters, called in this process."""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from api import auth, middleware
from api.main import create_app
from api.routes import goals, trying
from api.services import Services
from app import patience, reporting
from app.alerting import Alerting, Alerts
from app.defining import Defining
from app.domain.event import Event
from app.domain.history import DefinitionVersion, Project
from app.errors import StoreUnavailable, Unconfirmed
from app.experiments import Experiments
from app.ports import Which
from app.recording import StatusRecorder
from app.reporting import Reporter
from app.showing import KnownGoal, ShownGoals
from app.stores.database import Database
from app.stores.generations import GenerationState
from app.stores.memory import MemoryCounters
from app.stores.sql import SqlDefinitions
from app.stores.sql_alerts import SqlAlerts
from app.stores.sql_answers import SqlAnswers
from app.stores.sql_keys import SqlKeys
from app.stores.sql_status_changes import SqlStatusChanges
from app.webhook import Webhook

PIPELINE: dict[str, Any] = {
    "projects": {"shop": {"received": 1}, "other": {"received": 2}},
    "partitions": [
        {
            "topic": "events",
            "partition": 0,
            "incarnation": "i",
            "checkpoint": 3,
            "first": 0,
            "end": 3,
            "lag": 0,
            "freshAsOf": "2027-01-15T08:00:00.000Z",
            "silentSeconds": 0.2,
            "received": 3,
            "counted": 2,
            "unmatched": 1,
            "duplicate": 0,
            "rejected": {},
            "balanced": True,
        }
    ],
    "workers": [
        {
            "id": "machine-7:4711",
            "host": "machine-7",
            "pid": 4711,
            "alive": True,
            "at": 1_800_000_000_000,
            "startedAt": 1_799_999_000_000,
            "received": 3,
            "counted": 2,
            "rate": 1.5,
            "revision": 1,
            "partitions": ["events/0"],
        }
    ],
    "losses": [],
    "generations": [
        {
            "number": 1,
            "shown": True,
            "createdAt": "2027-01-15T08:00:00.000Z",
            "finished": True,
            "countedAt": None,
            "counted": 3,
            "messages": 3,
        }
    ],
    "generation": 1,
    "rebuilding": False,
    "freshAsOf": "2027-01-15T08:00:00.000Z",
    "revision": 1,
    "lag": 0,
    "logAnswers": True,
    "evictionPolicies": ["noeviction"],
}


@dataclass
class World:
    """What surrounds the API: everything a test may look at or break."""

    client: httpx.AsyncClient
    definitions: SqlDefinitions
    keys: SqlKeys
    counters: MemoryCounters
    database: Database
    recorder: StatusRecorder = field(init=False)
    alerting: Alerting = field(init=False)
    published: list[tuple[bytes | None, bytes]] = field(default_factory=list)
    recent: list[Event] = field(default_factory=list)
    now: int = 1_800_000_000_000
    kafka_is_away: bool = False
    kafka_is_silent: bool = False
    workers: dict[str, int] = field(default_factory=lambda: {"w": 2**40})
    allowed: int = 1_000_000
    project_keys: dict[str, str] = field(default_factory=dict)
    redis_is_away: bool = False
    signals_asked: int = 0
    pipeline: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(PIPELINE))
    letters: list[dict[str, Any]] = field(default_factory=list)
    asked: Which | None = None
    generations: list[GenerationState] = field(default_factory=list)
    shown_generation: int = 1

    def add_project(self, key: str) -> None:
        """And a key for it."""
        self.definitions.create_project(key, key, "Europe/Berlin")
        self.project_keys[key] = self.keys.create(key)[1]

    async def call(self, method: str, path: str, project: str = "shop", **options: Any) -> httpx.Response:
        headers = {"x-api-key": self.project_keys[project], **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)


def make_defective(monkeypatch: pytest.MonkeyPatch, project: str) -> None:
    """Its goals cannot be shown, for a reason that nobody thought of."""
    show = ShownGoals.known

    def fail(goals: ShownGoals, version: DefinitionVersion, owner: Project) -> KnownGoal:
        if owner.key == project:
            raise ValueError("a defect")
        return show(goals, version, owner)

    monkeypatch.setattr(ShownGoals, "known", fail)


class _Signals:
    def __init__(self, world: World) -> None:
        self._world = world

    async def publish(self, revision: int) -> None:
        del revision
        self._ask()

    async def worker_revisions(self) -> Mapping[str, int]:
        self._ask()
        return self._world.workers

    async def workers_out_of_touch(self) -> Sequence[str]:
        self._ask()
        return []

    def _ask(self) -> None:
        self._world.signals_asked += 1
        if self._world.redis_is_away:
            raise StoreUnavailable("redis", "away")


class _Publisher:
    def __init__(self, world: World) -> None:
        self._world = world

    async def publish(self, messages: Sequence[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]) -> None:
        if self._world.kafka_is_away:
            raise StoreUnavailable("kafka", "away")
        if self._world.kafka_is_silent:
            raise Unconfirmed("kafka", "no answer")
        self._world.published.extend((key, value) for key, value, _ in messages)


class _Recent:
    def __init__(self, world: World) -> None:
        self._world = world

    async def recent(self, project: str, limit: int) -> list[Event]:
        return [event for event in self._world.recent if event.project == project][-limit:]


class _Limits:
    def __init__(self, world: World) -> None:
        self._world = world

    async def take(self, project: str, kind: str, cost: int) -> tuple[bool, int, int, float]:
        del project, kind
        self._world.allowed -= cost
        return self._world.allowed >= 0, 10, max(0, self._world.allowed), 3.2


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test machine may be busy for longer than users may wait. Tests of waiting set their own time."""
    monkeypatch.setattr(auth, "_LOOK_UP_SECONDS", 30.0)
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(patience, "SQL_SECONDS", 30.0)
    monkeypatch.setattr(reporting, "PATIENCE_SECONDS", 30.0)
    monkeypatch.setattr(goals, "LIST_SECONDS", 60.0)
    monkeypatch.setattr(trying, "PREVIEW_SECONDS", 60.0)
    monkeypatch.setattr(trying, "WARNINGS_SECONDS", 30.0)


PROJECTS = ("shop", "other")
DEFINED_FROM = 1_795_700_000_000
"""Seven weeks before World.now."""


class WeeksBefore(Database):
    """Its clock goes on from DEFINED_FROM, whatever day it is: what tests count lies after what they define."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._since = int(time.time() * 1000)

    def now(self, connection: Connection) -> int:
        return super().now(connection) - self._since + DEFINED_FROM


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with surrounded(tmp_path) as made:
        yield made


@asynccontextmanager
async def surrounded(
    folder: Path,
    projects: Sequence[str] = PROJECTS,
    *,
    allow_private: bool = False,
    is_today: bool = False,
    **more: Any,
) -> AsyncIterator[World]:
    """The API over a database of its own in `folder`; `more` of its services. `allow_private`: where alerts may go.
    `is_today`: definitions are made now, and not some weeks before the world's moment."""
    url = f"sqlite:///{folder / 'api.db'}"
    database = Database(url) if is_today else WeeksBefore(url)
    database.migrate()
    definitions, keys, counters = SqlDefinitions(database), SqlKeys(database), MemoryCounters()
    changes = SqlStatusChanges(database)
    made = World(httpx.AsyncClient(), definitions, keys, counters, database)
    counters.fresh_as_of = made.now
    reporter = Reporter(definitions, counters, changes)
    made.recorder = StatusRecorder(changes, reporter, lambda: made.now)
    alerts = SqlAlerts(database)
    made.alerting = Alerting(alerts, reporter, Webhook(allow_private=allow_private), lambda: made.now, first_pause_ms=1)
    services = Services(
        definitions=definitions,
        defining=Defining(definitions, _Signals(made), live_timeout_seconds=0.2),
        reporter=reporter,
        experiments=Experiments(definitions, counters),
        alerts=Alerts(alerts, allow_private=allow_private),
        keys=keys,
        publisher=_Publisher(made),
        recent=_Recent(made),
        answers=SqlAnswers(database, abandoned_ms=60_000),
        limits=_Limits(made),
        audit=definitions.audit,
        now=lambda: made.now,
        check=_check,
        pipeline=_Pipeline(made).read,
        dead_letters=_DeadLetters(made),
        generations=_Generations(made),
        **more,
    )
    for project in projects:
        made.add_project(project)
    await made.client.aclose()
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://scorekeeper") as client:
        made.client = client
        yield made
    database.close()


async def _check() -> Mapping[str, str | None]:
    return {"redis": None, "kafka": "TimeoutError"}


class _Pipeline:
    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self) -> Mapping[str, Any]:
        if self._world.redis_is_away:
            raise StoreUnavailable("redis", "away")
        return self._world.pipeline


class _DeadLetters:
    def __init__(self, world: World) -> None:
        self._world = world

    async def newest(
        self, which: Which, limit: int, before: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        del before
        self._world.asked = which
        return self._world.letters[:limit], None

    async def replay(self, which: Which) -> int:
        self._world.asked = which
        return len(self._world.letters)


class _Generations:
    def __init__(self, world: World) -> None:
        self._world = world

    async def states(self) -> list[GenerationState]:
        return self._world.generations

    async def switch(self, number: int) -> None:
        self._world.shown_generation = number
