"""How fast `GET /api/goals` answers while a worker counts a backlog at full speed, and what a flood of wrong keys does
to those who have a right one. One API process, one worker, one process of load: on two cores they share them.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from app.domain.history import DefinitionVersion, Project
from app.domain.parsing import ParsingRules
from app.stores.database import Database
from app.stores.generations import Generations, new_rules
from app.stores.redis_client import connect
from app.stores.sql import SqlDefinitions
from app.stores.sql_keys import SqlKeys
from tests.benchmarks import growth, harness
from tests.benchmarks.events import PER_PROJECT, Count, definition
from tests.benchmarks.latency import summarise
from tests.end_to_end.processes import Deployment, eventually
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

BACKLOG = 6_000_000
GOALS = {"p0": 10, "p1": 1_000, "p2": 10_000}
LARGE = "p2"
"""Without goals at first: every batch moves all ten thousand of them, and that is another load for Redis."""
FLOOD_CONNECTIONS = (2_000, 100)
"""The many first: an address that failed too often before is turned away from the first request on."""
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the API; `same`: conditional requests, of which only those answered with 304 are looked at."""

    project: str
    per_second: float
    seconds: float
    same: bool = False

    @property
    def name(self) -> str:
        what = "304" if self.same else "list"
        return f"{what} of {GOALS[self.project]:,} goals, {self.per_second:g}/s"


BESIDE_COUNTING = (
    Load("p0", 100, 12),
    Load("p1", 100, 20),
)
BESIDE_THE_LARGE = (
    Load("p0", 100, 12),
    Load(LARGE, 1, 12),
)
AT_REST = (
    Load("p0", 100, 10),
    Load("p1", 100, 10),
    Load("p0", 50, 10, same=True),
    Load("p1", 20, 10, same=True),
)


def main(*, quick: bool = False) -> None:
    """Prints, and writes bench-api.json."""
    console, share = Console(), 0.1 if quick else 1.0
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="scorekeeper-api-") as folder:
        home = Path(folder)
        broker, server = start_any(home / "kafka"), RedisServer(home / "redis")
        try:
            nothing = harness.Parts(broker.bootstrap, server.url, home, "", 0, Count())
            parts = growth.backlog(nothing, int(BACKLOG * share))

            def note(name: str, row: dict[str, Any]) -> None:
                found[name] = row
                console.print(f"{name}: {row}")

            def ask(title: str, loads: Sequence[Load]) -> None:
                for load in loads:
                    note(f"{load.name}, {title}", measure(deployment, parts, keys[load.project], load, share))

            database, keys = define(home / "small.db", {**GOALS, LARGE: 0})
            with _running(home / "small", parts, database) as deployment:
                ask("counting", BESIDE_COUNTING)
                eventually(lambda: counted(parts) >= parts.events, 300, "the end of the backlog")
                ask("at rest", AT_REST)
                for connections in (None, *FLOOD_CONNECTIONS):
                    note(*under_flood(deployment, parts, keys["p0"], connections, share))
            with harness.connect(parts.redis) as client:
                client.flushall()
            database, keys = define(home / "large.db", GOALS)
            with _running(home / "large", parts, database) as deployment:
                ask(f"counting, a project of {GOALS[LARGE]:,} goals beside", BESIDE_THE_LARGE)
        finally:
            server.stop()
            broker.stop()
    Path("bench-api.json").write_text(json.dumps(found, indent=2))


def define(file: Path, goals: Mapping[str, int]) -> tuple[str, dict[str, str]]:
    """A database with the projects of the benchmark's events and so many goals each, and their API keys."""
    database = f"sqlite:///{file}"
    opened = Database(database)
    opened.migrate()
    store = SqlDefinitions(opened)
    since = int(time.time() * 1000) - HOUR_MS
    for project in (f"p{number}" for number in range(20)):
        versions = [
            DefinitionVersion("conversion_goal", f"cg_{project}_{n}", project, 0, since, growth.FOREVER, since, body)
            for n, body in enumerate(map(definition, range(PER_PROJECT)))
        ]
        for number in range(goals.get(project, 0)):
            body = {"metric": f"m{number % PER_PROJECT}", "target": 1_000 + number, "deadline": "2036-12-31"}
            ident = f"goal_{project}_{number}"
            versions.append(DefinitionVersion("goal", ident, project, 0, since, growth.FOREVER, since, body))
        store.restore(Project(project, project, "UTC", since), versions, "bench")
    keys = {project: SqlKeys(opened).create(project)[1] for project in goals}
    opened.close()
    return database, keys


@contextmanager
def _running(home: Path, parts: harness.Parts, database: str) -> Iterator[Deployment]:
    deployment = Deployment(home, parts.kafka, parts.redis, database, parts.topic)
    asyncio.run(begin_counting(parts.redis))
    worker = harness.start_worker(parts, database)
    try:
        deployment.start_api()
        eventually(lambda: shows_numbers(parts), 60, "counting")
        yield deployment
    finally:
        worker.stop()
        deployment.stop()


async def begin_counting(redis: str) -> None:
    """As if that had been before the backlog came."""
    async with connect(redis, name="bench") as client:
        rules = new_rules(ParsingRules(), window_ms=7 * 24 * HOUR_MS, stripes=1)
        await Generations(client).ensure_active(rules, now=1)


def shows_numbers(parts: harness.Parts) -> bool:
    """Whether each partition is counted up to some moment: until then lists hold nothing but definitions."""
    with harness.connect(parts.redis) as client:
        reports = [json.loads(text) for text in client.hgetall("{sk:1:0}:fresh").values()]
    return bool(reports) and all(complete_up_to for complete_up_to, _, _ in reports)


def counted(parts: harness.Parts) -> int:
    with harness.connect(parts.redis) as client:
        return sum(map(int, client.hgetall("{sk:1:0}:cp").values()))


def measure(deployment: Deployment, parts: harness.Parts, key: str, load: Load, share: float) -> dict[str, Any]:
    before, begun = counted(parts), time.perf_counter()
    asked = ["/api/goals", str(load.per_second), str(max(2.0, load.seconds * share)), *(["same"] if load.same else [])]
    delays = _ask(deployment, key, *asked)["delays"]
    rate = (counted(parts) - before) / (time.perf_counter() - begun)
    wanted = [delay for status, delay in delays if status == (304 if load.same else 200)]
    others = len(delays) - len(wanted)
    row: dict[str, Any] = {"answers": len(wanted), "others": others, "eventsPerSecond": round(rate)}
    return {**row, **(summarise(wanted) if len(wanted) > 1 else {"p50": None, "p95": None, "p99": None})}


def under_flood(
    deployment: Deployment, parts: harness.Parts, key: str, connections: int | None, share: float
) -> tuple[str, dict[str, Any]]:
    """Good requests while another process sends wrong keys over so many connections; None: while nobody does."""
    load = Load("p0", 100, 12)
    if connections is None:
        return f"{load.name}, no flood", measure(deployment, parts, key, load, share)
    seconds = max(2.0, load.seconds * share) + 4
    command = [*_LOAD, "127.0.0.1", str(deployment.port), "flood"]
    with subprocess.Popen([*command, str(connections), str(seconds)], stdout=subprocess.PIPE, text=True) as flood:
        time.sleep(2)
        row = measure(deployment, parts, key, load, share)
        sent, _ = flood.communicate()
    return f"{load.name}, wrong keys over {connections:,} connections", {**row, "flood": json.loads(sent)}


_LOAD = [sys.executable, "-m", "tests.benchmarks.asking"]


def _ask(deployment: Deployment, key: str, *asked: str) -> Any:
    command = [*_LOAD, "127.0.0.1", str(deployment.port), key, *asked]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
