"""Definitions from a file, on real parts: emptied, they come back with the same ids and, rebuilt, the same counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually

FILE = """\
project: shop
conversionGoals:
  - {name: Purchase, eventType: purchase, valueProperty: amount, conditions: {amount: {$gte: 10}}}
  - {name: Visit, eventType: pageview, counting: once_per_session}
goals:
  - {metric: purchase, target: 100, deadline: 2036-12-31}
  - {metric: purchase, aggregation: sum, target: 1000, deadline: 2036-12-31, unit: EUR}
alerts:
  - {name: Silent, url: https://hooks.example.com/x, when: goal_silent, silentHours: 100}
"""


def events(first: int, number: int) -> list[bytes]:
    bodies = [
        {
            "type": "purchase" if n % 3 else "pageview",
            "id": f"e{n}",
            "projectKey": "shop",
            "sessionId": f"s{n % 20}",
            "data": {"amount": n % 40},
        }
        for n in range(first, first + number)
    ]
    return [json.dumps(body).encode() for body in bodies]


def shown(made: Deployment) -> dict[str, Any]:
    goals = {goal["id"]: goal["current"] for goal in made.get("/api/goals")}
    return goals | {one["id"]: one["conversions"] for one in made.get("/api/conversion-goals")}


@pytest.mark.kafka
@pytest.mark.postgres
def test_exported_wiped_applied_and_rebuilt_all_is_as_it_was(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, postgres_url: str, make_topic: Callable[..., str]
) -> None:
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, postgres_url, make_topic(2)) as made:
        made.start_worker()
        made.start_api()
        file = tmp_path / "shop.yaml"
        file.write_text(FILE)
        made.run("apply", str(file))
        made.key = json.loads(made.run("keys", "create", "--project", "shop", "--json"))["apiKey"]
        eventually(lambda: len(made.live_workers()) == 1, what="a worker with partitions")
        made.publish(events(0, 300))
        made.wait()
        file.write_text(FILE.replace("$gte: 10", "$gte: 20"))
        assert json.loads(made.run("apply", str(file), "--json"))[0]["live"]
        made.publish(events(300, 300), "more")
        made.wait()
        before = shown(made)
        by_hand = [n for n in range(600) if n % 3 and n % 40 >= (10 if n < 300 else 20)]
        assert sorted(before.values()) == sorted([len(by_hand), len(by_hand), sum(n % 40 for n in by_hand), 20])
        exported = made.run("export")

        dsn = postgres_url.replace("+psycopg", "")
        with psycopg.connect(dsn, autocommit=True) as connection:
            for table in ("sessions", "api_keys", "definition_versions", "audit", "idempotency", "status_changes"):
                connection.execute(f"TRUNCATE {table} CASCADE".encode())
            connection.execute(b"TRUNCATE projects CASCADE")
        file.write_text(exported)
        made.run("apply", str(file))
        made.key = json.loads(made.run("keys", "create", "--project", "shop", "--json"))["apiKey"]
        assert made.run("export") == exported
        assert json.loads(made.run("rebuild", "--json"))["differences"] == 0
        assert shown(made) == before
        assert json.loads(made.run("verify", "--json"))["equal"]
