"""A real Prometheus with our configuration: it finds every process, its rules work, and each panel has data.

A collector gets the spans of each process.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.embedded.process import ChildProcess
from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually
from tests.servers import is_ci
from tests.servers.collector import spans
from tests.servers.ports import free_port
from tests.servers.receiver import receiving

MONITORING = Path(__file__).parents[2] / "config" / "monitoring"
PATIENCE_SECONDS = 90.0


class Prometheus:
    """One process; `ask` has what it answers."""

    def __init__(self, binary: str, folder: Path, targets: dict[str, str]) -> None:
        configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for job in configuration["scrape_configs"]:
            # In the compose network they are found by name.
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [targets.pop(job["job_name"])]}]
        assert not targets, "a process that nobody scrapes"
        folder.mkdir()
        shutil.copy(MONITORING / "alerts.yml", folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        address = f"127.0.0.1:{free_port()}"
        self._http = httpx.Client(base_url=f"http://{address}/api/v1", timeout=60)
        command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        self._process = ChildProcess("Prometheus", [*command, f"--web.listen-address={address}"], folder / "log", {})
        self._process.wait_until(self._answers, PATIENCE_SECONDS)

    def _answers(self) -> bool:
        try:
            return self._http.get("/status/config").status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, path: str, **query: str) -> Any:
        answer = self._http.get(path, params=query).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def stop(self) -> None:
        self._http.close()
        self._process.stop()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Prometheus]]:
    binary = shutil.which("prometheus")
    if binary is None:
        assert not is_ci(), "CI=true needs prometheus (package prometheus)"
        pytest.skip("prometheus is not installed (package prometheus)")
    started: list[Prometheus] = []

    def start(targets: dict[str, str]) -> Prometheus:
        started.append(Prometheus(binary, tmp_path / "prometheus", targets))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def queries() -> list[tuple[str, str]]:
    """(panel, query) of the board."""
    board = json.loads((MONITORING / "grafana" / "scorekeeper.json").read_text())
    asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", ())]
    return [(title, query.replace("$__rate_interval", "1m")) for title, query in asked]


def without_data(seen: Prometheus) -> list[str]:
    """Panels that show nothing, or no number."""
    found = []
    for title, query in queries():
        values = [float(one["value"][1]) for one in seen.ask("/query", query=query)["result"]]
        if all(math.isnan(value) for value in values):
            found.append(title)
    return found


def send(scorekeeper: Deployment, number: int) -> None:
    """Something that counts, and something that cannot."""
    good = {"type": "purchase", "projectKey": "shop", "id": f"e{number}"}
    scorekeeper.publish([json.dumps(good).encode(), b'{"projectKey": "shop"}'])
    scorekeeper.get("/api/goals")


@pytest.mark.kafka
def test_prometheus_sees_every_process_and_every_panel_has_data(
    prometheus: Callable[[dict[str, str]], Prometheus],
    tmp_path: Path,
    kafka_bootstrap: str,
    redis_url: str,
    sqlite_url: str,
    make_topic: Callable[..., str],
) -> None:
    port = free_port()
    topic = make_topic(1)
    with (
        receiving() as collector,
        ForkedDeployment(
            tmp_path,
            kafka_bootstrap,
            redis_url,
            sqlite_url,
            topic,
            SCOREKEEPER_METRICS_PORT=str(port),
            SCOREKEEPER_TRACES=f"http://127.0.0.1:{collector.port}",
        ) as scorekeeper,
    ):
        scorekeeper.start_worker()
        scorekeeper.start_api()
        scorekeeper.create_project("shop")
        eventually(lambda: len(scorekeeper.live_workers()) == 1, what="a worker with partitions")
        scorekeeper.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase"})
        scorekeeper.post("/api/goals", {"metric": "purchase", "target": 10, "deadline": "2036-12-31"})
        send(scorekeeper, 0)
        seen = prometheus(
            {"scorekeeper-api": f"127.0.0.1:{scorekeeper.port}", "scorekeeper-worker": f"127.0.0.1:{port}"}
        )

        def up() -> bool:
            return [one["health"] for one in seen.ask("/targets")["activeTargets"]] == ["up", "up"]

        eventually(up, PATIENCE_SECONDS, "a scrape of both processes")
        deadline, number, empty = time.monotonic() + PATIENCE_SECONDS, 1, ["all"]
        while empty and time.monotonic() < deadline:
            send(scorekeeper, number)
            number, empty = number + 1, without_data(seen)
        assert empty == []

        def rules() -> list[dict[str, Any]]:
            return [rule for group in seen.ask("/rules")["groups"] for rule in group["rules"]]

        eventually(lambda: all(rule["health"] != "unknown" for rule in rules()), PATIENCE_SECONDS, "each rule's turn")
        written = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
        assert {rule["name"] for rule in rules()} == {rule["alert"] for group in written for rule in group["rules"]}
        assert [rule for rule in rules() if rule["health"] != "ok" or rule.get("lastError")] == []

        traced = {("scorekeeper-api", "POST /api/goals"), ("scorekeeper-worker", f"process {topic}")}
        eventually(
            lambda: traced <= {(service, span.name) for service, span in spans(collector)},
            PATIENCE_SECONDS,
            "a span of each process",
        )
