"""A log that was cut, a Redis that was lost: the snapshot and what is left of the log give the exact counts. And a
change of the key scheme goes through a rebuild beside the counting that is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaAdminClient, TopicPartition

from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually


def purchases(first: int, number: int) -> list[bytes]:
    return [
        json.dumps({"type": "purchase", "id": f"e{n}", "projectKey": "shop", "visitorId": f"v{n % 9}"}).encode()
        for n in range(first, first + number)
    ]


def figures(made: Deployment) -> list[Any]:
    return [goal["current"] for goal in made.get("/api/goals")]


@pytest.mark.kafka
def test_a_snapshot_and_the_rest_of_the_log_count_exactly_and_a_new_scheme_is_rebuilt(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(1)
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, topic) as made:
        worker = made.start_worker()
        made.start_api()
        made.create_project("shop")
        eventually(lambda: len(made.live_workers()) == 1, what="a worker with partitions")
        made.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase"})
        for aggregation in ("count", "unique"):
            body = {"metric": "purchase", "target": 1000, "deadline": "2036-12-31", "aggregation": aggregation}
            made.post("/api/goals", body)
        made.publish(purchases(0, 200))
        made.wait()
        file = tmp_path / "counters.snapshot"
        assert json.loads(made.run("snapshot", "save", str(file), "--json"))["generation"] == 1
        made.publish(purchases(150, 200), "more")  # 50 of them again
        made.wait()
        assert figures(made) == [350, 9]

        worker.stop()
        admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        admin.delete_records({TopicPartition(topic, 0): 200})
        admin.close()
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
            loaded = json.loads(made.run("snapshot", "load", str(file), "--json"))
            assert list(loaded["checkpoints"].values()) == [200]
            made.start_worker()
            eventually(lambda: figures(made) == [350, 9], what="the snapshot's counts and those of the rest")
            assert not made.get("/api/pipeline")["losses"]

            # Another version's keys: neither part starts, until a rebuild of ours is shown.
            made.stop()
            client.hset(f"sk:generation:{loaded['generation']}", "scheme", 99)
            for part in ("worker", "api"):
                assert "key scheme 99, this version reads" in made.refused(part)
            rebuilt = json.loads(made.run("rebuild", "--json"))
            assert rebuilt["shown"]
            client.hset("sk:generation:1", "scheme", 99)
            made.start_worker()
            made.start_api()
            # The log holds no more than these.
            eventually(lambda: figures(made) == [200, 9], what="counting in the rebuilt generation")
