"""Scorekeeper as its users run it: real processes of the command line, on real parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx

from app.embedded.process import ChildProcess
from tests.servers.forking import SCOREKEEPER, ForkedProcess, run_forked
from tests.servers.ports import free_port

COMMAND = [SCOREKEEPER]
PATIENCE_SECONDS = 90.0


def eventually(is_so: Callable[[], Any], timeout_seconds: float = 60.0, what: str = "it") -> Any:
    """The first true answer; fails with the last one when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = is_so()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not happen in {timeout_seconds} s; last: {answer!r}"
        time.sleep(0.05)


def patiently(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer that is not "try again later"."""
    deadline, response = time.monotonic() + PATIENCE_SECONDS, ask()
    while is_too_early(response) and time.monotonic() < deadline:
        # It says when; it would be a defect if it did not.
        time.sleep(float(response.headers["retry-after"]))
        response = ask()
    return response


def is_too_early(response: httpx.Response) -> bool:
    """A store has not answered in time; or, with an Idempotency-Key, the first attempt is not over yet."""
    return response.status_code == 503 or (response.status_code == 409 and response.json()["code"] == "still_working")


class Deployment:
    """One Scorekeeper on the given parts. Workers and the API are started on demand, and end with the block."""

    def __init__(self, home: Path, kafka: str, redis: str, database: str, topic: str, **settings: str) -> None:
        self.home = home
        self.topic = topic
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "SCOREKEEPER_KAFKA": kafka,
            "SCOREKEEPER_REDIS": redis,
            "SCOREKEEPER_DATABASE": database,
            "SCOREKEEPER_TOPIC": topic,
            "SCOREKEEPER_GROUP": f"group-{topic}",
            "SCOREKEEPER_PORT": str(self.port),
            "SCOREKEEPER_DATA_DIR": str(home / "data"),
            "SCOREKEEPER_SESSION_TIMEOUT_SECONDS": "2",
            "SCOREKEEPER_LOG_FORMAT": "text",
            "SCOREKEEPER_LIVE_TIMEOUT_SECONDS": "60",
            # Tests ask again and again until something is so.
            "SCOREKEEPER_READS_PER_MINUTE": "0",
            "SCOREKEEPER_WRITES_PER_MINUTE": "0",
            "SCOREKEEPER_EVENTS_PER_MINUTE": "0",
            "SCOREKEEPER_PAGE_READS_PER_MINUTE": "0",
            **settings,
        }
        self.workers: list[ChildProcess] = []
        self.api: ChildProcess | None = None
        self.key = ""
        self.run("migrate")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- commands

    def run(self, *arguments: str, timeout_seconds: float = 180.0, check: bool = True) -> str:
        """The command's standard output. Fails with its error output when it ends with another code than 0."""
        done = self._run([*COMMAND, *arguments], timeout_seconds)
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """The command's error output; it must end with another code than 0."""
        done = self._run([*COMMAND, *arguments], 180)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def _run(self, command: list[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )

    def create_project(self, name: str, *options: str) -> None:
        """And use its key from now on."""
        self.key = json.loads(self.run("projects", "create", name, *options, "--json"))["apiKey"]

    # -- processes

    def start_worker(self) -> ChildProcess:
        number = len(self.workers)
        log = self.home / f"worker-{number}.log"
        worker = self.start(f"worker {number}", "worker", "--create-topics", log=log)
        self.workers.append(worker)
        return worker

    def start(self, name: str, *arguments: str, log: Path, **settings: str) -> ChildProcess:
        """A process of the command line; the caller ends it."""
        return self._start(name, [*COMMAND, *arguments], log, {**self.environment, **settings})

    def _start(self, name: str, command: list[str], log: Path, environment: dict[str, str]) -> ChildProcess:
        return ChildProcess(name, command, log, environment)

    def start_api(self) -> None:
        self.api = self.start("the API", "api", log=self.home / "api.log")
        self.api.wait_until(self.is_ready, 120)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def live_workers(self) -> list[dict[str, Any]]:
        """The workers that report and have partitions."""
        found = self.get("/api/pipeline")["workers"]
        return [worker for worker in found if worker["alive"] and worker["partitions"]]

    def stop(self) -> None:
        for child in [*self.workers, *([self.api] if self.api else [])]:
            child.signal(signal.SIGCONT)
            child.stop()

    # -- the API

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """What the API says of it when its stores have answered: a machine may be busy with other tests."""
        headers = {"x-api-key": self.key, **options.pop("headers", {})}
        return patiently(
            lambda: httpx.request(method, self.url + path, headers=headers, timeout=PATIENCE_SECONDS, **options)
        )

    def get(self, path: str) -> Any:
        response = self.request("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: object) -> Any:
        """Once, also when the answer to the first attempt was late."""
        response = self.request("POST", path, json=body, headers={"idempotency-key": uuid.uuid4().hex})
        assert response.status_code == 201, response.text
        return response.json()

    # -- events

    def publish(self, lines: Iterator[bytes] | list[bytes], name: str = "events") -> int:
        """Publish NDJSON lines; returns their number."""
        file = self.home / f"{name}.ndjson"
        number = 0
        with file.open("wb") as out:
            for line in lines:
                out.write(line.rstrip(b"\n") + b"\n")
                number += 1
        printed = self.run("publish", str(file), timeout_seconds=300)
        assert f"published {number}" in printed, printed
        return number

    def wait(self, timeout_seconds: int = 120) -> None:
        """Return when everything published is counted."""
        self.run("wait", "--timeout", str(timeout_seconds), timeout_seconds=timeout_seconds + 20)


class ForkedDeployment(Deployment):
    """Its processes start at once, see forking.py."""

    def _run(self, command: list[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        return run_forked(command, self.environment, timeout_seconds)

    def _start(self, name: str, command: list[str], log: Path, environment: dict[str, str]) -> ChildProcess:
        return ForkedProcess(name, command, log, environment)
