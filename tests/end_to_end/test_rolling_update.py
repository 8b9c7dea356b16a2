"""A rolling update under load: new workers and API processes take over from old ones, side by side for a while.

Nothing is lost, nothing is doubled, and no request fails. SCOREKEEPER_TEST_LONG=1 rolls four times as often, and
holds the load to its rates: 2,000 events and 50 requests a second.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import httpx
import pytest
from kafka import KafkaProducer

from app.embedded.process import ChildProcess
from tests.end_to_end.processes import PATIENCE_SECONDS, Deployment, ForkedDeployment, eventually
from tests.servers.ports import free_port

LONG = os.environ.get("SCOREKEEPER_TEST_LONG") == "1"
EVENTS_PER_SECOND = 2_000
REQUESTS_PER_SECOND = 50
CLIENTS = 6
ROUNDS = 4 if LONG else 1


class Balancer:
    """What stands before API processes: hands out those that are in, and waits for those that leave."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in: list[int] = []
        self._open: dict[int, int] = {}
        self._turn = 0

    @contextmanager
    def backend(self) -> Iterator[int]:
        with self._changed:
            self._turn += 1
            port = self._in[self._turn % len(self._in)]
            self._open[port] += 1
        try:
            yield port
        finally:
            with self._changed:
                self._open[port] -= 1
                self._changed.notify_all()

    def put_in(self, port: int) -> None:
        with self._changed:
            self._open[port] = 0
            self._in.append(port)

    def take_out(self, port: int) -> None:
        """Returns when what it was handed has been answered."""
        with self._changed:
            self._in.remove(port)
            assert self._changed.wait_for(lambda: self._open[port] == 0, 2 * PATIENCE_SECONDS)


class Load:
    """Events to Kafka and requests to the API, until it is told to end; it remembers what it sent."""

    def __init__(self, made: Deployment, balancer: Balancer) -> None:
        self._made = made
        self._balancer = balancer
        self._end = threading.Event()
        self.published = 0
        self.posted = 0
        self.requests = 0
        self.failures: list[str] = []
        targets = [self._publish, *[self._ask] * CLIENTS]
        self._threads = [threading.Thread(target=target, args=(n,)) for n, target in enumerate(targets)]
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)
        self.seconds = time.monotonic() - self.begun

    def _publish(self, _: int) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._made.environment["SCOREKEEPER_KAFKA"], acks="all", linger_ms=10, retries=20
        )
        while not self._end.is_set():
            due = int((time.monotonic() - self.begun) * EVENTS_PER_SECOND)
            for number in range(self.published, due):
                body = {"type": "purchase", "id": f"k{number}", "projectKey": "shop", "visitorId": f"v{number % 500}"}
                producer.send(self._made.topic, json.dumps(body).encode(), key=str(number % 500).encode())
            self.published = max(self.published, due)
            self._end.wait(0.02)
        producer.flush(PATIENCE_SECONDS)
        producer.close()

    def _ask(self, client: int) -> None:
        headers = {"x-api-key": self._made.key}
        number = 0
        with httpx.Client(headers=headers, timeout=PATIENCE_SECONDS) as session:
            due = time.monotonic()
            while not self._end.wait(max(0.0, due - time.monotonic())):
                due += CLIENTS / REQUESTS_PER_SECOND
                number += 1
                event = {"type": "purchase", "id": f"h{client}-{number}", "visitorId": f"v{number % 500}"}
                with self._balancer.backend() as port:
                    url = f"http://127.0.0.1:{port}"
                    ask = partial(session.get, f"{url}/api/goals")
                    if number % 2 == 0:
                        ask = partial(session.post, f"{url}/api/events", json=event)
                    try:
                        answer = ask()
                        problem = "" if answer.is_success else f"{answer.status_code} {answer.text}"
                    except httpx.HTTPError as error:
                        problem = f"{type(error).__name__}: {error}"
                with self._lock:
                    self.requests += 1
                    self.posted += number % 2 == 0
                    if problem:
                        self.failures.append(problem)


def start_api(made: Deployment, number: int) -> tuple[ChildProcess, int]:
    port = free_port()
    process = made.start(f"API {number}", "api", log=made.home / f"api-{number}.log", SCOREKEEPER_PORT=str(port))

    def is_ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    process.wait_until(is_ready, 120)
    return process, port


def owning(made: Deployment) -> set[int]:
    """The process ids of workers that have partitions."""
    return {worker["pid"] for worker in made.live_workers()}


def owns(made: Deployment, pid: int) -> bool:
    return pid in owning(made)


@pytest.mark.kafka
@pytest.mark.timeout(900)
def test_a_rolling_update_under_load_loses_and_doubles_nothing(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> None:
    settings = {"SCOREKEEPER_READS_PER_MINUTE": "0", "SCOREKEEPER_WRITES_PER_MINUTE": "0"}
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(4), **settings) as made:
        made.start_api()  # watches only; it takes no load
        workers = [made.start_worker(), made.start_worker()]
        made.create_project("shop")
        eventually(lambda: owning(made) == {worker.pid for worker in workers}, 60, "two workers with partitions")
        made.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase"})
        made.post("/api/goals", {"metric": "purchase", "target": 1_000_000, "deadline": "2036-12-31"})
        balancer = Balancer()
        apis = [start_api(made, number) for number in range(2)]
        for _, port in apis:
            balancer.put_in(port)
        try:
            with Load(made, balancer) as load:
                for round_number in range(ROUNDS):
                    for place in range(2):
                        new = made.start_worker()
                        eventually(partial(owns, made, new.pid), 60, "partitions of the new worker")
                        old, workers[place] = workers[place], new
                        old.stop()
                        process, port = apis[place]
                        apis[place] = start_api(made, 2 + 2 * round_number + place)
                        balancer.put_in(apis[place][1])
                        balancer.take_out(port)
                        process.stop(grace_seconds=PATIENCE_SECONDS)
                        assert process.exit_code() in {0, -15}
        finally:
            for process, _ in apis:
                process.stop()
        made.wait()
        print(
            f"{load.published} events and {load.requests} requests in {load.seconds:.1f} s: "
            f"{load.published / load.seconds:.0f} and {load.requests / load.seconds:.1f} a second"
        )
        assert load.failures == []
        assert load.posted > 0
        (goal,) = made.get("/api/goals")
        assert goal["current"] == load.published + load.posted
        assert json.loads(made.run("verify", "--json"))["equal"]
        if LONG:
            assert load.published / load.seconds > 0.95 * EVENTS_PER_SECOND
            assert load.requests / load.seconds > 0.95 * REQUESTS_PER_SECOND
