"""A goal with `backfill`, created long after its events: counted with real workers that die, proved, and rebuilt."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually
from tests.end_to_end.test_proof import Shop

GOALS = (
    {"metric": "purchase"},
    {"metric": "purchase", "aggregation": "sum"},
    {"metric": "purchase", "aggregation": "unique"},
    {"metric": "purchase", "aggregation": "rate", "denominatorMetric": "visit"},
)


@pytest.fixture
def shop_site(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> Iterator[Deployment]:
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(3)) as made:
        made.start_worker()
        made.start_api()
        made.create_project("shop")
        eventually(lambda: len(made.live_workers()) == 1, what="a worker with partitions")
        made.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase", "valueProperty": "amount"})
        made.post("/api/conversion-goals", {"name": "Visit", "eventType": "pageview", "counting": "once_per_session"})
        yield made


def figures(site: Deployment) -> list[float | None]:
    return [goal["current"] for goal in site.get("/api/goals")]


@pytest.mark.kafka
def test_a_goal_with_backfill_counts_what_came_before_it_and_goes_on(shop_site: Deployment) -> None:
    shop, site = Shop(11), shop_site
    site.publish(shop.lines(3_000))
    site.wait()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for body in GOALS:
        whole = {**body, "target": 1000, "deadline": "2036-12-31", "startsAt": yesterday, "backfill": True}
        created = site.post("/api/goals", whole)
        assert (created["current"], created["backfilling"]) == (None, True) or created["current"] is not None
    # Whoever fills dies, and another goes on.
    (worker,) = site.live_workers()
    site.start_worker()
    eventually(lambda: len(site.live_workers()) == 2, what="a second worker")
    os.kill(worker["pid"], signal.SIGKILL)
    site.publish(shop.lines(1_000), "more")
    eventually(lambda: len(site.live_workers()) == 1, 60, what="the first worker to be gone")
    site.wait()
    eventually(lambda: figures(site) == pytest.approx(shop.figures()), 60, what="the goals to be filled")
    verdict = json.loads(site.run("verify", "--json"))
    assert (verdict["equal"], verdict["unfinished"]) == (True, [])
    assert verdict["compared"] > 20

    json.loads(site.run("rebuild", "--json"))
    site.publish(shop.lines(200), "last")
    site.wait()
    eventually(lambda: figures(site) == pytest.approx(shop.figures()), what="the same figures of another generation")
    assert json.loads(site.run("verify", "--json"))["equal"]

    (goal, *_) = site.get("/api/goals")
    for backfill in (False, True):
        site.request("PATCH", "/api/goals", json={"id": goal["id"], "backfill": backfill})
    eventually(lambda: figures(site) == pytest.approx(shop.figures()), what="the goal to be filled again")
