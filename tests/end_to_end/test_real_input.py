"""Real events, counted by two worker processes, sent twice, with a SIGKILL: every figure is the independent one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually
from tests.servers import is_ci

DATA = Path(__file__).parents[3] / "shared" / "data" / "eshop"
MODES = {
    "every_event": ("count", "sum"),
    "once_per_session": ("uniqueSessions", "sumOncePerSession"),
    "once_per_visitor": ("uniqueVisitors", "sumOncePerVisitor"),
}


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_real_shop_is_counted_exactly(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, postgres_url: str, make_topic: Callable[..., str]
) -> None:
    if not DATA.is_dir():
        assert not is_ci(), f"CI=true needs the real data in {DATA}"
        pytest.skip(f"the real data is not in {DATA}")
    definitions = json.loads((DATA / "goals.json").read_text())
    expected = _expected()
    with ForkedDeployment(
        tmp_path,
        kafka_bootstrap,
        redis_url,
        postgres_url,
        make_topic(6),
        SCOREKEEPER_MAX_EVENT_AGE_DAYS="10000",
    ) as scorekeeper:
        scorekeeper.start_worker()
        scorekeeper.start_worker()
        scorekeeper.start_api()
        scorekeeper.create_project("eshop-2008")
        eventually(lambda: len(scorekeeper.live_workers()) == 2, what="two workers with partitions")
        for definition in definitions:
            for counting in MODES:
                _define(scorekeeper, definition, counting)
        lines = _events()
        half = len(lines) // 2

        scorekeeper.publish(lines[:half])
        scorekeeper.wait()
        scorekeeper.publish(lines[: half // 4], "again")
        scorekeeper.wait()
        before = _figures(scorekeeper)

        scorekeeper.publish(lines[half:], "rest")
        eventually(lambda: _figures(scorekeeper) != before, what="counting of the rest")
        scorekeeper.workers[0].kill()
        scorekeeper.wait(180)

        assert _figures(scorekeeper) == expected
        (accounting,) = scorekeeper.get("/api/pipeline")["projects"].values()
        assert accounting["received"] == len(lines) + half // 4
        fates = accounting["counted"] + accounting["unmatched"] + accounting["duplicate"]
        assert fates + sum(accounting["rejected"].values()) == accounting["received"]


def _define(scorekeeper: Deployment, definition: dict[str, Any], counting: str) -> None:
    body = {name: value for name, value in definition.items() if name != "key"}
    name = f"{definition['key']} {counting}"
    answer = scorekeeper.post("/api/conversion-goals", {**body, "name": name, "counting": counting})
    assert answer["live"], answer


def _figures(scorekeeper: Deployment) -> dict[str, tuple[float, float]]:
    listed = scorekeeper.get("/api/conversion-goals")
    return {item["name"]: (item["conversions"], item["value"]) for item in listed}


def _expected() -> dict[str, tuple[float, float]]:
    answers = json.loads((DATA / "expected.json").read_text())["goals"]
    found = {}
    for key, answer in _by_key(answers):
        for counting, (count, total) in MODES.items():
            found[f"{key} {counting}"] = (answer[count], answer[total])
    return found


def _by_key(answers: Any) -> list[tuple[str, dict[str, Any]]]:
    return list(answers.items()) if isinstance(answers, dict) else [(one["key"], one) for one in answers]


def _events() -> list[bytes]:
    made = subprocess.run([sys.executable, str(DATA / "to_events.py")], capture_output=True, check=True)
    return made.stdout.splitlines()
