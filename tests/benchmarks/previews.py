"""How long a preview over 10,000 events takes while a worker counts at full speed, and what that costs the worker:
beside the previews, and beside a process that only burns as much of the processors as the API does for them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from kafka import KafkaProducer
from rich.console import Console

from tests.benchmarks import harness
from tests.benchmarks.events import write
from tests.benchmarks.harness import Parts, Result
from tests.end_to_end.processes import Deployment
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

RECENT = 10_000
EVERY_SECONDS = 1.0
"""Somebody types: a form asks for a preview after each pause."""
DEFINITIONS: dict[str, dict[str, Any]] = {
    "a type": {"eventType": "t1"},
    "a path and a condition": {"eventType": "t1", "urlPattern": "/shop/1/*", "conditions": {"plan": "pro"}},
    "a host, an id, 48 regular expressions": {
        "eventType": "t1",
        "urlPattern": "https://*.example/shop/:shelf/article",
        "conditions": {"$or": [{"note": {"$regexi": f"x{number}.*y"}} for number in range(48)]},
    },
}


@dataclass
class _Asked:
    """Per definition, how long each preview took, and how many events it looked at."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)


@dataclass
class _Typing:
    """Asks for one preview after the other, from another thread, until the block ends."""

    deployment: Deployment
    asked: _Asked
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)

    def _ask(self) -> None:
        headers = {"x-api-key": self.deployment.key}
        with httpx.Client(base_url=self.deployment.url, headers=headers, timeout=30) as client:
            while True:
                for name, definition in DEFINITIONS.items():
                    begun = time.perf_counter()
                    answer = client.post("/api/conversion-goals/preview", json={"name": "new", **definition})
                    self.asked.seconds.setdefault(name, []).append(time.perf_counter() - begun)
                    self.asked.seen.setdefault(name, []).append(answer.json()["seen"])
                    if self._is_over.wait(EVERY_SECONDS):
                        return


@contextmanager
def _burning(share: float) -> Iterator[None]:
    """A process that is busy for this share of each tenth of a second."""
    code = (
        "import time\n"
        "while True:\n"
        f"    begun = time.process_time()\n"
        f"    while time.process_time() - begun < {share / 10}: pass\n"
        f"    time.sleep({max(0.0, 1 - share) / 10})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()


def main(*, quick: bool = False) -> None:
    """Prints, and writes bench-preview.json."""
    console, events, rounds = Console(), 50_000 if quick else 1_000_000, 1 if quick else 5
    with tempfile.TemporaryDirectory(prefix="scorekeeper-preview-") as folder:
        home = Path(folder)
        broker, server = start_any(home / "kafka"), RedisServer(home / "redis")
        try:
            database = f"sqlite:///{home / 'bench.db'}"
            harness.define(database)
            parts = _with_recent(harness.publish(broker.bootstrap, home, server.url, events, seed=1))
            deployment = Deployment(home / "api", broker.bootstrap, server.url, database, parts.topic)
            deployment.key = json.loads(deployment.run("keys", "create", "--project", "p0", "--json"))["apiKey"]
            deployment.start_api()
            assert deployment.api is not None
            api = psutil.Process(deployment.api.pid)
            alone: list[Result] = []
            beside: list[Result] = []
            burning: list[Result] = []
            shares: list[float] = []
            asked = _Asked()
            for _ in range(rounds):
                alone.append(harness.run_scorekeeper(parts, database))
                with _Typing(deployment, asked):
                    begun, before = time.perf_counter(), _cpu_seconds(api)
                    beside.append(harness.run_scorekeeper(parts, database))
                    shares.append((_cpu_seconds(api) - before) / (time.perf_counter() - begun))
                with _burning(shares[-1]):
                    burning.append(harness.run_scorekeeper(parts, database))
            deployment.stop()
        finally:
            server.stop()
            broker.stop()
    found = {
        "machine": f"{broker.kind}, {harness.environment_note()}",
        "isRight": all(result.is_right for result in (*alone, *beside, *burning)),
        "apiShare": round(statistics.median(shares), 2),
        "alone": _rate(alone),
        "beside": _rate(beside),
        "burning": _rate(burning),
        "previews": {name: _summary(own, asked.seen[name]) for name, own in asked.seconds.items()},
    }
    console.print_json(data=found)
    Path("bench-preview.json").write_text(json.dumps(found, indent=2))


def _rate(results: Sequence[Result]) -> int:
    return round(statistics.median(result.events_per_second for result in results))


def _cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _with_recent(parts: Parts) -> Parts:
    """The newest events are all of one project, so that a preview has as many as it ever looks at."""
    more = RECENT + 2_000
    producer = KafkaProducer(bootstrap_servers=parts.kafka, linger_ms=20, acks="all")
    for serial, (key, value) in enumerate(write(more, 2, parts.count, hot=1.0)):
        # No two texts the same: a regular expression's answer is remembered.
        producer.send(parts.topic, value.replace(b"a few words", b"%d words" % serial), key=key)
    producer.flush()
    producer.close()
    return replace(parts, events=parts.events + more)


def _summary(seconds: list[float], seen: list[int]) -> dict[str, Any]:
    shown = {"p50": statistics.median(seconds), "max": max(seconds), "first": seconds[0]}
    return {"asked": len(seconds), "seen": min(seen), **{name: round(own * 1e3) for name, own in shown.items()}}
