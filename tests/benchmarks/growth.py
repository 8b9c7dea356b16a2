"""How the cost of an event grows: with definitions, projects and goals (CPU time of the fold, which is where they act),
and with partitions, workers, shards, a hot project and a backlog (whole workers on real Kafka and Redis)."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord
from rich.console import Console

from app.domain.catalog import build_catalog
from app.domain.folding import Folder, Record
from app.domain.folding_rules import FoldingRules
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.increments import Position
from app.domain.parsing import ParsingRules
from app.stores.redis_packing import Packer
from tests.benchmarks import harness
from tests.benchmarks.events import Count
from tests.servers.brokers import start_any
from tests.servers.redises import RedisClusterServers, RedisServer

NOW = 1_780_000_000_000
FOREVER = 2**62
EVENTS, REPEATS = 40_000, 7
BATCH = 8_000
"""Events: what 2 MiB of them are, which is what a worker with a backlog fetches of a partition at once."""
MANY_PROJECTS = 100
"""Three shards are for many."""
WIDE = (((20, 10), (20, 100), (20, 1_000)), ((100, 200), (10_000, 2)))
"""Projects, and definitions of each; those of a group are measured in turn."""
WIDE_IF_QUICK = (((5, 2), (5, 20)), ((10, 2),))
POSITION = Position("events", 0, "x")


def main(*, quick: bool = False) -> None:
    """Prints, and writes bench-growth.json."""
    console = Console()
    found: dict[str, Any] = {"foldCpuMicroseconds": folds(console, quick=quick)}
    found["workers"] = whole_workers(console, quick=quick)
    Path("bench-growth.json").write_text(json.dumps(found, indent=2))


def folds(console: Console, *, quick: bool) -> dict[str, list[tuple[int, float]]]:
    """CPU microseconds an event of decoding, matching, folding and packing."""
    events = 4_000 if quick else EVENTS
    shapes: dict[str, list[tuple[int, dict[str, int]]]] = {
        "definitions (in 20 projects)": [(n, {"projects": 20, "per_project": n // 20}) for n in (200, 2_000, 20_000)],
        "projects (of 2 definitions)": [(n, {"projects": n, "per_project": 2}) for n in (1, 100, 10_000)],
        "projects (20,000 definitions)": [(n, {"projects": n, "per_project": 20_000 // n}) for n in (100, 10_000)],
        "goals (50,000 definitions)": [
            (50_000 // every, {"projects": 100, "per_project": 500, "every": every}) for every in (500, 50, 1)
        ],
    }
    found: dict[str, list[tuple[int, float]]] = {}
    for name, steps in shapes.items():
        folds = [Fold(events, **shape) for _, shape in steps]
        # What is loaded is not looked through while it is measured.
        gc.collect()
        gc.freeze()
        # In turn: the machine's speed changes within minutes, and only the ratios are of interest.
        rounds = [[fold.cpu() for fold in folds] for _ in range(REPEATS)]
        gc.unfreeze()
        found[name] = [(number, min(own)) for (number, _), own in zip(steps, zip(*rounds, strict=True), strict=True)]
        console.print(f"{name}: " + ", ".join(f"{number:,}: {cpu:.2f} us" for number, cpu in found[name]))
    return found


class Fold:
    """Events and a catalog. A quarter of the events match; one definition in `every` has a goal."""

    def __init__(self, events: int, projects: int, per_project: int, every: int = 1) -> None:
        self._records = make_records(events, projects, per_project)
        rules = FoldingRules(ParsingRules(), b"x" * 16, 7 * 86_400_000)
        self._folder = Folder(build_catalog(history(projects, per_project, every)), rules)
        self._packer = Packer()

    def cpu(self) -> float:
        """Microseconds an event."""
        begun = time.process_time()
        for start in range(0, len(self._records), BATCH):
            batch = self._records[start : start + BATCH]
            increments, _ = self._folder.fold(POSITION, batch, [start], start + BATCH, NOW)
            for part in increments:
                self._packer.pack(part)
        return (time.process_time() - begun) / len(self._records) * 1e6


def history(projects: int, per_project: int, every: int) -> DefinitionHistory:
    versions = []
    for project in range(projects):
        for number in range(per_project):
            body: dict[str, object] = {
                "name": f"d{number}",
                "metric": f"m{number}",
                "eventType": f"t{number % 5}",
                "urlPattern": f"/shop/{number}/*",
                "conditions": {"plan": "pro"} if number % 2 else {"amount": {"$gte": 50}},
            }
            version = DefinitionVersion(
                "conversion_goal", f"c{project}_{number}", f"p{project}", 1, 0, FOREVER, 1, body
            )
            versions.append(version)
            if (project * per_project + number) % every == 0:
                goal = {"metric": f"m{number}", "target": 10, "deadline": "2036-12-31", "startsAt": "2020-01-01"}
                versions.append(replace(version, kind="goal", id=f"g{project}_{number}", body=goal))
    owners = [Project(f"p{number}", f"p{number}", "UTC", 0) for number in range(projects)]
    return DefinitionHistory(1, NOW, owners, versions)


def make_records(events: int, projects: int, per_project: int) -> list[Record]:
    chance = random.Random(1)
    records: list[Record] = []
    for offset in range(events):
        number = chance.randrange(per_project)
        shelf = number if chance.random() < 0.25 else f"x{number}"
        value = json.dumps(
            {
                "type": f"t{number % 5}",
                "projectKey": f"p{chance.randrange(projects)}",
                "id": f"{offset:x}-{chance.getrandbits(40):010x}",
                "url": f"https://shop.example/shop/{shelf}/article?ref={offset}",
                "visitorId": f"v{chance.randrange(10_000)}",
                "data": {"plan": "pro", "amount": chance.randrange(50, 100), "note": "a few words of no importance"},
            }
        ).encode()
        records.append(ConsumerRecord("events", 0, offset, NOW, 1, b"k", value, None, 1, len(value), ()))
    return records


def whole_workers(console: Console, *, quick: bool) -> dict[str, dict[str, float | bool | None]]:
    """What one topic after another comes to."""
    events = 20_000 if quick else 400_000
    found: dict[str, dict[str, float | bool | None]] = {}
    with tempfile.TemporaryDirectory(prefix="scorekeeper-growth-") as folder:
        home = Path(folder)
        broker, one, three = (
            start_any(home / "kafka"),
            RedisServer(home / "redis"),
            RedisClusterServers(home / "shards"),
        )
        database = f"sqlite:///{home / 'bench.db'}"
        harness.define(database)
        of_many = f"sqlite:///{home / 'many.db'}"
        harness.define(of_many, projects=MANY_PROJECTS)

        def run(parts: harness.Parts, workers: int, stripes: int, database: str) -> dict[str, float | bool | None]:
            result = harness.run_scorekeeper(parts, database, workers=workers, stripes=stripes)
            used = max(result.redis_cpu_seconds)
            conversions = sum(parts.count.exact.values())
            return {
                "eventsPerSecond": round(result.events_per_second),
                "cpuSecondsPerMillion": round(result.cpu_seconds_per_million, 2),
                "rssMiB": round(result.rss_mib),
                "redisCpuSecondsPerMillion": round(used / conversions * 1e6, 2) if conversions else None,
                "readySeconds": round(result.ready_seconds, 1),
                "isRight": result.is_right,
            }

        def tell(name: str, row: dict[str, float | bool | None]) -> None:
            found[name] = row
            console.print(f"{name}: {row}")

        def measure(
            name: str, parts: harness.Parts, workers: int = 1, stripes: int = 1, database: str = database
        ) -> None:
            tell(name, run(parts, workers, stripes, database))

        def measure_in_turn(rows: dict[str, tuple[harness.Parts, str]]) -> None:
            """The least CPU of each is told: of these the ratio is of interest."""
            rounds = [[run(parts, 1, 1, own) for parts, own in rows.values()] for _ in range(1 if quick else 3)]
            for name, runs in zip(rows, zip(*rounds, strict=True), strict=True):
                tell(name, min(runs, key=lambda row: row["cpuSecondsPerMillion"] or 0.0))

        def wide(projects: int, per_project: int) -> tuple[harness.Parts, str]:
            own = f"sqlite:///{home / f'{projects}-{per_project}.db'}"
            harness.define(own, projects=projects, per_project=per_project)
            parts = harness.publish(
                broker.bootstrap, home, one.url, events, 5, projects=projects, per_project=per_project
            )
            return parts, own

        try:
            for partitions in (4, 32, 128):
                parts = harness.publish(broker.bootstrap, home, one.url, events, 1, partitions=partitions)
                measure(f"{partitions} partitions", parts)
                if partitions == 4:
                    measure("2 workers", parts, workers=2)
                    measure("12 stripes on 1 shard", parts, stripes=12)
                    measure("12 stripes on 3 shards", replace(parts, redis=three.url), stripes=12)
            many = harness.publish(broker.bootstrap, home, one.url, events, 4, matching=1.0, projects=MANY_PROJECTS)
            what = f"{MANY_PROJECTS} projects, every event matches"
            measure(f"{what}, 12 stripes on 1 shard", many, stripes=12, database=of_many)
            many = replace(many, redis=three.url)
            measure(f"{what}, 12 stripes on 3 shards", many, stripes=12, database=of_many)
            for name, share in (("no event matches", 0.0), ("every event matches", 1.0)):
                measure(name, harness.publish(broker.bootstrap, home, one.url, events, 3, matching=share))
            hot = harness.publish(broker.bootstrap, home, one.url, events, 2, hot=0.9)
            measure("a project with 90% of the events", hot)
            for shapes in WIDE_IF_QUICK if quick else WIDE:
                measure_in_turn(
                    {
                        f"{projects:,} projects with {projects * per_project:,} definitions": wide(
                            projects, per_project
                        )
                        for projects, per_project in shapes
                    }
                )
            number = 100_000 if quick else 5_000_000
            measure(f"a backlog of {number:,} (counts not compared)", backlog(hot, number))
        finally:
            three.stop()
            one.stop()
            broker.stop()
    return found


def backlog(parts: harness.Parts, events: int) -> harness.Parts:
    """A topic of so many events, quickly written; what is in it is not counted."""
    empty = harness.publish(parts.kafka, parts.home, parts.redis, 0, 1)
    command = [".venv-bench/bin/python", "-W", "ignore", "-m", "tests.benchmarks.backlog"]
    subprocess.run([*command, parts.kafka, empty.topic, str(events)], check=True)
    return replace(empty, events=events, count=Count())
