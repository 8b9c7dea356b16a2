"""schemathesis sends what the OpenAPI document allows and what it forbids to a real server, while a worker counts.

All its checks, all phases, links followed. The short form runs in the suite, always with the same examples: what it
says changes with the product alone. SCOREKEEPER_TEST_LONG=1 draws others each time, 500 an operation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually
from tests.servers.redises import RedisServer

IS_LONG = os.environ.get("SCOREKEEPER_TEST_LONG") == "1"
EXAMPLES = os.environ.get("SCOREKEEPER_TEST_EXAMPLES", "500" if IS_LONG else "2")
CONFIG = Path(__file__).parent / "schemathesis.toml"
TOOL = Path(sys.executable).parent / "schemathesis"


def run(scorekeeper: Deployment, phases: str, *more: str) -> None:
    """Fails with the tool's report."""
    command = [str(TOOL), "--config-file", str(CONFIG), "run", f"{scorekeeper.url}/openapi.json", "--phases", phases]
    command += ["--max-examples", EXAMPLES, "--workers", "1", "--no-shrink", "--continue-on-failure", *more]
    command += ["--request-timeout", "60"]
    command += [] if IS_LONG else ["--seed", "1"]
    done = subprocess.run(
        command,
        env={**os.environ, "API_KEY": scorekeeper.key, "PYTHONWARNINGS": "ignore"},
        cwd=scorekeeper.home,
        capture_output=True,
        text=True,
        check=False,
    )
    report = scorekeeper.home / "schemathesis.txt"
    report.write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert scorekeeper.api is not None
    assert '"500:' not in (scorekeeper.home / "api.log").read_text()


@contextmanager
def traffic(scorekeeper: Deployment) -> Iterator[None]:
    """Events are published and counted meanwhile."""
    done = threading.Event()

    def publish() -> None:
        number = 0
        while not done.wait(0.2):
            events = [{"type": "form_submit", "id": f"t-{number}-{n}", "visitorId": f"v{n}"} for n in range(50)]
            scorekeeper.request("POST", "/api/events", json=events)
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def scorekeeper(
    tmp_path: Path, kafka_bootstrap: str, postgres_url: str, make_topic: Callable[..., str]
) -> Iterator[tuple[Deployment, RedisServer]]:
    redis = RedisServer(tmp_path / "redis")
    settings = {
        "SCOREKEEPER_FAILED_KEYS_PER_MINUTE": "0",
        "SCOREKEEPER_LIVE_TIMEOUT_SECONDS": "0.5",
        "SCOREKEEPER_LOG_FORMAT": "json",
    }
    try:
        with ForkedDeployment(tmp_path, kafka_bootstrap, redis.url, postgres_url, make_topic(2), **settings) as made:
            made.start_worker()
            made.start_api()
            made.create_project("shop")
            eventually(made.live_workers, what="a worker with partitions")
            yield made, redis
    finally:
        redis.stop()


@pytest.mark.kafka
@pytest.mark.postgres
def test_no_request_is_answered_otherwise_than_documented(scorekeeper: tuple[Deployment, RedisServer]) -> None:
    made, redis = scorekeeper
    with traffic(made):
        run(made, "examples,coverage,fuzzing,stateful" if IS_LONG else "examples,fuzzing,stateful")
    made.wait()
    redis.kill()
    run(made, "examples,fuzzing" if IS_LONG else "examples", "--exclude-checks", "positive_data_acceptance")
