"""How fast `verify` and `rebuild` read the log again, beside the live counting of the same log in the same run."""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.benchmarks import harness
from tests.benchmarks.harness import Parts
from tests.end_to_end.processes import Deployment
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

LIVE = "live counting"


def main(*, quick: bool = False) -> None:
    """Prints, and writes bench-recounts.json."""
    events, rounds = (20_000, 1) if quick else (1_000_000, 3)
    with tempfile.TemporaryDirectory(prefix="scorekeeper-recounts-") as folder:
        home = Path(folder)
        broker, server = start_any(home / "kafka"), RedisServer(home / "redis")
        try:
            database = f"sqlite:///{home / 'bench.db'}"
            harness.define(database)
            parts = harness.publish(broker.bootstrap, home, server.url, events, seed=1)
            found = measure(parts, database, rounds)
        finally:
            server.stop()
            broker.stop()
    console = Console()
    for name, own in found.items():
        console.print(f"{name}: {own}")
    Path("bench-recounts.json").write_text(json.dumps({"events": events, "rounds": rounds, "rates": found}, indent=2))


def measure(parts: Parts, database: str, rounds: int) -> dict[str, dict[str, float]]:
    """Medians. The commands' own start, in which nothing is read, is not counted: that of `generations`."""
    deployment = Deployment(parts.home / "commands", parts.kafka, parts.redis, database, parts.topic)
    wall: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    for _ in range(rounds):
        live = harness.run_scorekeeper(parts, database)
        assert live.is_right
        wall.setdefault(LIVE, []).append(parts.events / live.events_per_second)
        cpu.setdefault(LIVE, []).append(live.cpu_seconds_per_million * parts.events / 1e6)
        start, start_cpu = _timed(deployment, "generations")
        for name in ("verify", "rebuild"):
            seconds, used = _timed(deployment, name)
            wall.setdefault(name, []).append(max(seconds - start, 1e-6))
            cpu.setdefault(name, []).append(used - start_cpu)
    rate = {name: parts.events / statistics.median(own) for name, own in wall.items()}
    return {
        name: {
            "eventsPerSecond": round(rate[name]),
            "ofLive": round(rate[name] / rate[LIVE], 2),
            "cpuSecondsPerMillion": round(statistics.median(cpu[name]) / parts.events * 1e6, 2),
        }
        for name in rate
    }


def _timed(deployment: Deployment, *command: str) -> tuple[float, float]:
    """Wall and CPU seconds. Fails when the command does: for `verify`, when a counter differs."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    deployment.run(*command, timeout_seconds=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, used
