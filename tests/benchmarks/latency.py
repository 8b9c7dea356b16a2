"""How long after it was published an event is counted in Redis, shown by `GET /api/goals` and on the event stream.

Beside the plain Faust agent, which reads the same topic in the same run: tails follow the machine's load, so only the
comparison counts. Then alone: where that agent falls behind, it takes a core that an operator's machine would have.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import redis
from kafka import KafkaProducer
from rich.console import Console

from app.embedded.process import ChildProcess
from app.streams.topics import Topics
from tests.benchmarks.harness import PARTITIONS, define
from tests.end_to_end.processes import Deployment, eventually
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

PYTHON = ".venv-bench/bin/python"
LOOK_SECONDS = 0.0005
WAIT_SECONDS = 5.0
MOST_SECONDS = 45.0
"""For the probes of one load: who falls behind for seconds makes each of them last so long."""
CATCH_UP_SECONDS = 60.0
"""After a load, for who fell behind: what he has left of it would be a load where there is to be none."""
OURS, SHOWN, STREAMED, PLAIN = "Scorekeeper, in Redis", "GET /api/goals", "event stream", "plain Faust agent, in Redis"
LATER = "GET /api/goals, after Redis"

BESIDE, ALONE = "{} events/s", "{} events/s, alone"
LOADS = {BESIDE: (0, 100, 2_000), ALONE: (100, 2_000, 20_000)}


@dataclass
class Seen:
    """The number of probes that each place has shown, and when it showed each."""

    at: dict[str, dict[int, float]] = field(default_factory=dict)
    has_news: threading.Condition = field(default_factory=threading.Condition)

    def note(self, place: str, number: int) -> None:
        now = time.perf_counter()
        with self.has_news:
            known = self.at.setdefault(place, {})
            for probe in range(len(known) + 1, number + 1):
                known[probe] = now
            self.has_news.notify_all()

    def wait_for(self, probe: int, places: Iterable[str], seconds: float) -> bool:
        with self.has_news:
            return self.has_news.wait_for(lambda: all(probe in self.at.get(place, {}) for place in places), seconds)


def main(*, quick: bool = False) -> None:
    """Prints, and writes bench-latency.json."""
    console = Console()
    rounds, probes = (1, 10) if quick else (5, 60)
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="scorekeeper-latency-") as folder:
        home = Path(folder)
        broker, server = start_any(home / "kafka"), RedisServer(home / "redis")
        try:
            with _Field(broker.bootstrap, server.url, home) as ground:
                for load, rates in LOADS.items():
                    if load == ALONE:
                        ground.stop_plain()
                    for rate in [each for _ in range(rounds) for each in rates]:
                        for place, delays in ground.probe(rate, probes).items():
                            found.setdefault(load.format(rate), {}).setdefault(place, []).extend(delays)
        finally:
            server.stop()
            broker.stop()
    summary = {rate: {place: summarise(own) for place, own in places.items()} for rate, places in found.items()}
    for load, shown in summary.items():
        for place, own in shown.items():
            console.print(f"{load:>14}  {place:<28} " + "  ".join(f"{name} {ms} ms" for name, ms in own.items()))
    Path("bench-latency.json").write_text(json.dumps(summary, indent=2))


def summarise(delays: list[float]) -> dict[str, float]:
    parts = statistics.quantiles(delays, n=100, method="inclusive")
    return {"p50": round(parts[49] * 1e3, 1), "p95": round(parts[94] * 1e3, 1), "p99": round(parts[98] * 1e3, 1)}


class _Field:
    """A deployment with a worker and the API, the plain Faust agent, and four who look. Ends them with the block."""

    def __init__(self, kafka: str, redis_url: str, home: Path) -> None:
        self._kafka, self._redis, self._home = kafka, redis_url, home
        self._topic = f"latency-{uuid.uuid4().hex[:8]}"
        self._seen, self._sent = Seen(), 0
        self._places = [OURS, SHOWN, STREAMED, PLAIN]
        self._is_over = threading.Event()
        self._looking: list[threading.Thread] = []
        self._producer = KafkaProducer(bootstrap_servers=kafka, linger_ms=0, acks="all")
        topics = Topics(kafka)
        topics.create(self._topic, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
        topics.create(f"{self._topic}.dead-letters", 1)

    def __enter__(self) -> Self:
        database = f"sqlite:///{self._home / 'l.db'}"
        define(database)  # or all the other events would be dead letters, of unknown projects
        self._deployment = Deployment(self._home / "sk", self._kafka, self._redis, database, self._topic)
        self._deployment.create_project("probe")
        self._deployment.start_api()
        self._deployment.start_worker()
        eventually(self._deployment.live_workers, what="a worker")
        body = {"name": "probe", "metric": "probe", "eventType": "t0", "urlPattern": "/shop/0/*"}
        self._goal = self._deployment.post("/api/conversion-goals", body)["id"]
        self._deployment.post("/api/goals", {"metric": "probe", "target": 10**6, "deadline": "2036-12-31"})
        environment = {
            "BENCH_KAFKA": self._kafka,
            "BENCH_REDIS": self._redis,
            "BENCH_TOPIC": self._topic,
            "BENCH_GROUP": f"plain-{self._topic}",
            "BENCH_DIR": str(self._home / "faust"),
        }
        command = [str(Path(PYTHON).absolute()), "-W", "ignore", "-m", "tests.benchmarks.contenders.plain_faust"]
        self._plain = ChildProcess("plain Faust", command, self._home / "plain.log", environment)
        for look in (self._look_at_ours, self._look_at_plain, self._look_at_api, self._follow_stream):
            self._looking.append(threading.Thread(target=look, daemon=True))
            self._looking[-1].start()
        for _ in range(20):
            self._probe()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._looking:
            thread.join(2)
        self._producer.close()
        self.stop_plain()
        self._deployment.stop()

    def probe(self, rate: int, probes: int) -> dict[str, list[float]]:
        """Publication to each place, in seconds, with `rate` other events a second; 0: the topic rests in between."""
        chance, found = random.Random(rate), dict[str, list[float]]()
        command = [PYTHON, "-m", "tests.benchmarks.backlog", self._kafka, self._topic, str(10**9), str(rate)]
        background = subprocess.Popen(command) if rate else None
        try:
            time.sleep(1.0)
            until = time.perf_counter() + MOST_SECONDS
            for _ in range(probes):
                if time.perf_counter() > until:
                    break
                time.sleep(chance.uniform(0.02, 0.06) if rate else chance.uniform(0.3, 0.5))
                delays = self._probe()
                delays[LATER] = delays[SHOWN] - delays[OURS]
                for place, delay in delays.items():
                    found.setdefault(place, []).append(delay)
        finally:
            if background is not None:
                background.kill()
                background.wait()
        self._probe(CATCH_UP_SECONDS)
        return found

    def stop_plain(self) -> None:
        """Nobody waits for it, or looks, from now on. May be repeated."""
        self._places = [OURS, SHOWN, STREAMED]
        self._plain.stop()

    def _probe(self, seconds: float = WAIT_SECONDS) -> dict[str, float]:
        """Publication to each place, in seconds; whoever has not shown it after so many has `seconds`."""
        self._sent += 1
        probe = self._sent
        event = {
            "type": "t0",
            "projectKey": "probe",
            "id": f"probe-{probe}",
            "url": "https://shop.example/shop/0/article",
            "visitorId": f"v{probe}",
            "data": {"plan": "pro", "amount": 60},
        }
        begun = time.perf_counter()
        self._producer.send(self._topic, json.dumps(event).encode(), key=str(probe).encode())
        self._producer.flush()
        self._seen.wait_for(probe, self._places, seconds)
        return {place: self._seen.at[place].get(probe, begun + seconds) - begun for place in self._places}

    def _poll(self, place: str, look: Callable[[], int]) -> None:
        while place in self._places and not self._is_over.is_set():
            self._seen.note(place, look())
            time.sleep(LOOK_SECONDS)

    def _look_at_ours(self) -> None:
        client: Any = redis.Redis.from_url(self._redis)
        owner = f"{{sk:1:0}}:c:{self._goal}"
        self._poll(OURS, lambda: int(client.hget(owner, "n") or 0))

    def _look_at_plain(self) -> None:
        client: Any = redis.Redis.from_url(self._redis)
        self._poll(PLAIN, lambda: int(client.get("probe:0") or 0))

    def _look_at_api(self) -> None:
        with httpx.Client(base_url=self._deployment.url, headers={"x-api-key": self._deployment.key}) as client:
            self._poll(SHOWN, lambda: int(client.get("/api/goals").json()[0]["current"]))

    def _follow_stream(self) -> None:
        headers = {"x-api-key": self._deployment.key}
        with httpx.stream("GET", f"{self._deployment.url}/api/goals/stream", headers=headers, timeout=None) as lines:
            for line in lines.iter_lines():
                if self._is_over.is_set():
                    return
                goals = json.loads(line[5:]) if line.startswith("data:") else None
                found = goals.get("goals", []) if isinstance(goals, dict) else goals or []
                for goal in found:
                    self._seen.note(STREAMED, int(goal["current"]))
