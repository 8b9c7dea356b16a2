"""How long after it was published an event is counted in Redis, shown by `GET /api/goals` and on the event stream.

The plain Faust agent is measured in turn with the worker, in the same run: tails follow the machine's load, so only the
comparison counts, and beside each other each would be measured with the other's load. The API and all who look go on
meanwhile, for either.
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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import httpx
import redis
from kafka import KafkaProducer
from rich.console import Console

from app.embedded.process import ChildProcess
from app.streams.topics import Topics
from tests.benchmarks.harness import PARTITIONS, define
from tests.end_to_end.processes import Deployment
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

PYTHON = ".venv-bench/bin/python"
LOOK_SECONDS = 0.0005
WAIT_SECONDS = 5.0
MOST_SECONDS = 45.0
"""For the probes of one load: who falls behind for seconds makes each of them last so long."""
START_SECONDS = 60.0
CATCH_UP_SECONDS = 60.0
"""After a load, for who fell behind: what he has left of it would be a load where there is to be none."""
OURS, SHOWN, STREAMED, PLAIN = "Scorekeeper, in Redis", "GET /api/goals", "event stream", "plain Faust agent, in Redis"
LATER = "GET /api/goals, after Redis"

RATES = {OURS: (0, 100, 2_000, 20_000), PLAIN: (0, 100, 2_000)}


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
            with _Ground(broker.bootstrap, server.url, home) as ground:
                for _ in range(rounds):
                    for contender, rates in RATES.items():
                        with ground.turn(contender):
                            for rate in rates:
                                for place, delays in ground.probe(rate, probes).items():
                                    found.setdefault(f"{rate:,} events/s", {}).setdefault(place, []).extend(delays)
        finally:
            server.stop()
            broker.stop()
    summary = {rate: {place: summarise(own) for place, own in places.items()} for rate, places in found.items()}
    for load, shown in summary.items():
        for place, own in shown.items():
            console.print(f"{load:>15}  {place:<28} " + "  ".join(f"{name} {ms} ms" for name, ms in own.items()))
    Path("bench-latency.json").write_text(json.dumps(summary, indent=2))


def summarise(delays: list[float]) -> dict[str, float]:
    parts = statistics.quantiles(delays, n=100, method="inclusive")
    return {"p50": round(parts[49] * 1e3, 1), "p95": round(parts[94] * 1e3, 1), "p99": round(parts[98] * 1e3, 1)}


class _Ground:
    """A deployment with the API, four who look, and in turn a worker or the plain Faust agent. Ends all with the block.

    The agent reads a topic of its own, another one in each turn, so that it begins with nothing to catch up with.
    """

    def __init__(self, kafka: str, redis_url: str, home: Path) -> None:
        self._kafka, self._redis, self._home = kafka, redis_url, home
        self._seen = Seen()
        self._sent = {OURS: 0, PLAIN: 0}
        self._turns = 0
        self._is_over, self._is_probing = threading.Event(), threading.Event()
        self._looking: list[threading.Thread] = []
        self._producer = KafkaProducer(bootstrap_servers=kafka, linger_ms=0, acks="all")
        self._topic = self._create_topic()

    def __enter__(self) -> Self:
        database = f"sqlite:///{self._home / 'l.db'}"
        define(database)  # or all the other events would be dead letters, of unknown projects
        self._deployment = Deployment(self._home / "sk", self._kafka, self._redis, database, self._topic)
        self._deployment.create_project("probe")
        self._deployment.start_api()
        body = {"name": "probe", "metric": "probe", "eventType": "t0", "urlPattern": "/shop/0/*"}
        self._goal = self._deployment.post("/api/conversion-goals", body)["id"]
        self._deployment.post("/api/goals", {"metric": "probe", "target": 10**6, "deadline": "2036-12-31"})
        for look in (self._look_at_ours, self._look_at_plain, self._look_at_api, self._follow_stream):
            self._looking.append(threading.Thread(target=look, daemon=True))
            self._looking[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._looking:
            thread.join(2)
        self._producer.close()
        self._deployment.stop()

    @contextmanager
    def turn(self, contender: str) -> Iterator[None]:
        """Probes are this one's, in a process that has just begun."""
        self._turns += 1
        self._contender, self._places = contender, [OURS, SHOWN, STREAMED] if contender == OURS else [PLAIN]
        process = self._deployment.start_worker() if contender == OURS else self._start_plain()
        try:
            self._probe(START_SECONDS)
            for _ in range(20):
                self._probe()
            yield
        finally:
            process.stop()

    def _start_plain(self) -> ChildProcess:
        self._topic_of_plain = self._create_topic()
        environment = {
            "BENCH_KAFKA": self._kafka,
            "BENCH_REDIS": self._redis,
            "BENCH_TOPIC": self._topic_of_plain,
            "BENCH_GROUP": f"plain-{self._topic_of_plain}",
            "BENCH_DIR": str(self._home / f"faust-{self._turns}"),
        }
        # What it did not come to in its last turn it never will.
        with redis.Redis.from_url(self._redis) as client:
            client.set("probe:0", self._sent[PLAIN])
        command = [str(Path(PYTHON).absolute()), "-W", "ignore", "-m", "tests.benchmarks.contenders.plain_faust"]
        return ChildProcess("plain Faust", command, self._home / f"plain-{self._turns}.log", environment)

    def _create_topic(self) -> str:
        topics, topic = Topics(self._kafka), f"latency-{uuid.uuid4().hex[:8]}"
        topics.create(topic, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
        return topic

    def probe(self, rate: int, probes: int) -> dict[str, list[float]]:
        """Publication to each place, in seconds, with `rate` other events a second; 0: the topic rests in between."""
        chance, found = random.Random(rate), dict[str, list[float]]()
        command = [PYTHON, "-m", "tests.benchmarks.backlog", self._kafka, self._own_topic, str(10**9), str(rate)]
        background = subprocess.Popen(command) if rate else None
        try:
            time.sleep(1.0)
            until = time.perf_counter() + MOST_SECONDS
            for _ in range(probes):
                if time.perf_counter() > until:
                    break
                time.sleep(chance.uniform(0.02, 0.06) if rate else chance.uniform(0.3, 0.5))
                delays = self._probe()
                if SHOWN in delays:
                    delays[LATER] = delays[SHOWN] - delays[OURS]
                for place, delay in delays.items():
                    found.setdefault(place, []).append(delay)
        finally:
            if background is not None:
                background.kill()
                background.wait()
        self._probe(CATCH_UP_SECONDS)
        return found

    @property
    def _own_topic(self) -> str:
        return self._topic if self._contender == OURS else self._topic_of_plain

    def _probe(self, seconds: float = WAIT_SECONDS) -> dict[str, float]:
        """Publication to each place, in seconds; whoever has not shown it after so many has `seconds`."""
        self._sent[self._contender] += 1
        probe = self._sent[self._contender]
        event = {
            "type": "t0",
            "projectKey": "probe",
            "id": f"probe-{probe}",
            "url": "https://shop.example/shop/0/article",
            "visitorId": f"v{probe}",
            "data": {"plan": "pro", "amount": 60},
        }
        begun = time.perf_counter()
        self._is_probing.set()
        self._producer.send(self._own_topic, json.dumps(event).encode(), key=str(probe).encode())
        self._producer.flush()
        self._seen.wait_for(probe, self._places, seconds)
        self._is_probing.clear()
        return {place: self._seen.at.get(place, {}).get(probe, begun + seconds) - begun for place in self._places}

    def _poll(self, place: str, look: Callable[[], int]) -> None:
        """Look again and again, as long as there is a probe to be seen: in between it would be load for nothing."""
        while not self._is_over.is_set():
            if self._is_probing.wait(0.2):
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
        # A client that costs more would be seen in the delays.
        client = HTTPConnection("127.0.0.1", self._deployment.port)

        def look() -> int:
            client.request("GET", "/api/goals", headers={"x-api-key": self._deployment.key})
            return int(json.loads(client.getresponse().read())[0]["current"] or 0)

        self._poll(SHOWN, look)

    def _follow_stream(self) -> None:
        headers = {"x-api-key": self._deployment.key}
        with httpx.stream("GET", f"{self._deployment.url}/api/goals/stream", headers=headers, timeout=None) as lines:
            for line in lines.iter_lines():
                if self._is_over.is_set():
                    return
                goals = json.loads(line[5:]) if line.startswith("data:") else None
                found = goals.get("goals", []) if isinstance(goals, dict) else goals or []
                for goal in found:
                    self._seen.note(STREAMED, int(goal["current"] or 0))
