"""How long a preview over 10,000 events takes while a worker counts at full speed, and what that costs the worker."""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import httpx
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


def main(*, quick: bool = False) -> None:
    """Prints, and writes bench-preview.json."""
    console, events, rounds = Console(), 50_000 if quick else 2_000_000, 1 if quick else 3
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
            alone: list[Result] = []
            beside: list[Result] = []
            asked = _Asked()
            for _ in range(rounds):
                alone.append(harness.run_scorekeeper(parts, database))
                with _Typing(deployment, asked):
                    beside.append(harness.run_scorekeeper(parts, database))
            deployment.stop()
        finally:
            server.stop()
            broker.stop()
    found = {
        "machine": f"{broker.kind}, {harness.environment_note()}",
        "isRight": all(result.is_right for result in (*alone, *beside)),
        "alone": round(statistics.median(result.events_per_second for result in alone)),
        "beside": round(statistics.median(result.events_per_second for result in beside)),
        "previews": {name: _summary(own, asked.seen[name]) for name, own in asked.seconds.items()},
    }
    console.print_json(data=found)
    Path("bench-preview.json").write_text(json.dumps(found, indent=2))


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
