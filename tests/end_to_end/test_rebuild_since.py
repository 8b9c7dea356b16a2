"""`rebuild --since`: what came before is left out, and that is said wherever it matters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaConsumer, TopicPartition

from app.domain.moments import rfc3339
from app.stores.generations import spec_key
from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually

PARTITIONS = 3
PURCHASE = {"metric": "purchase", "target": 1000, "deadline": "2036-12-31"}


@pytest.fixture
def site(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> Iterator[Deployment]:
    """One worker, one API, a project with a conversion goal; the broker stamps what it receives."""
    topic = make_topic(PARTITIONS, message_timestamp_type="LogAppendTime")
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, topic) as made:
        made.start_worker()
        made.start_api()
        made.create_project("shop")
        eventually(lambda: len(made.live_workers()) == 1, what="a worker with partitions")
        made.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase"})
        yield made


def purchases(*numbers: int) -> list[bytes]:
    return [
        json.dumps({"id": f"e{one}", "type": "purchase", "projectKey": "shop", "visitorId": f"v{one}"}).encode()
        for one in numbers
    ]


def moments(kafka: str, topic: str) -> list[int]:
    """When the broker received each message, in order."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, group_id=None, auto_offset_reset="earliest")
    tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer.assign(tps)
    ends, found = consumer.end_offsets(tps), []
    while any(consumer.position(tp) < end for tp, end in ends.items()):
        found += [record.timestamp for own in consumer.poll(100).values() for record in own]
    consumer.close()
    return sorted(found)


def run_json(site: Deployment, *arguments: str) -> Any:
    return json.loads(site.run(*arguments, "--json"))


def goals(site: Deployment) -> dict[str, dict[str, Any]]:
    return {goal["description"]: goal for goal in site.get("/api/goals")}


def currents(site: Deployment) -> dict[str, Any]:
    return {name: goal["current"] for name, goal in goals(site).items()}


@pytest.mark.kafka
def test_what_came_before_is_left_out_and_goals_that_had_started_are_marked(
    site: Deployment, kafka_bootstrap: str
) -> None:
    site.post("/api/goals", {**PURCHASE, "description": "earlier"})
    site.publish(purchases(*range(60)))
    site.wait()
    before = moments(kafka_bootstrap, site.topic)
    # Twenty new ones, and ten that came before: what was left out is not known, so these count again.
    site.publish(purchases(*range(50, 80)), "more")
    site.wait()
    since = moments(kafka_bootstrap, site.topic)[60]
    assert since > before[-1]
    assert currents(site) == {"earlier": 80}
    site.post("/api/goals", {**PURCHASE, "description": "later"})

    rebuilt = run_json(site, "rebuild", "--since", rfc3339(since))
    assert rebuilt == {
        "generation": 2,
        "since": rfc3339(since),
        "messages": 30,
        "compared": 0,
        "differences": None,
        "notCompared": "what was shown counts from the start of the log",
        "shown": True,
    }
    eventually(lambda: currents(site) == {"earlier": 30, "later": 0}, what="the new generation")
    assert {name: goal.get("incompleteSince") for name, goal in goals(site).items()} == {
        "earlier": rfc3339(since - 1),
        "later": None,
    }
    verdict = run_json(site, "verify")
    assert (verdict["equal"], verdict["messages"], verdict["since"]) == (True, 30, rfc3339(since))
    pipeline = site.get("/api/pipeline")
    assert pipeline["losses"] == []
    late = pipeline["generations"][1]
    assert (late["since"], late["counted"], late["messages"], late["leftOut"]) == (rfc3339(since), 30, 30, 60)
    assert [row["since"] for row in run_json(site, "generations")] == [None, rfc3339(since)]
    assert rfc3339(since) in site.run("generations")

    site.publish(purchases(*range(80, 100)), "live")
    site.wait()
    assert currents(site) == {"earlier": 50, "later": 20}
    assert f"from 50 messages since {rfc3339(since)}; what came before is not counted" in site.run("verify")

    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    site.post("/api/goals", {**PURCHASE, "description": "filled", "startsAt": yesterday, "backfill": True})
    eventually(lambda: currents(site) == {"earlier": 50, "later": 20, "filled": 50}, what="the backfill")
    verdict = run_json(site, "verify")
    assert (verdict["equal"], verdict["unfinished"]) == (True, [])

    told = site.run("rebuild", "--no-switch")
    assert f"not compared: what was shown counts from {rfc3339(since)}" in told
    run_json(site, "generations", "switch", "1")
    eventually(lambda: currents(site) == {"earlier": 100, "later": 20, "filled": 100}, what="the whole log")
    assert all("incompleteSince" not in goal for goal in goals(site).values())


@pytest.mark.kafka
def test_one_that_was_stopped_goes_on_from_the_same_messages(
    site: Deployment, kafka_bootstrap: str, redis_url: str
) -> None:
    site.post("/api/goals", {**PURCHASE, "description": "earlier"})
    site.publish(purchases(*range(40)))
    site.publish(purchases(*range(40, 60)), "more")
    since = rfc3339(moments(kafka_bootstrap, site.topic)[40])
    assert run_json(site, "rebuild", "--no-switch", "--since", since)["messages"] == 20
    with redis.Redis.from_url(redis_url) as client:
        # As it is left by who was stopped before he could say that he is done.
        client.hdel(spec_key(2), "finished")
    site.publish(purchases(*range(60, 70)), "live")
    assert f"was begun with --since {since}" in site.refused("rebuild")
    rebuilt = run_json(site, "rebuild", "--since", since)
    assert (rebuilt["generation"], rebuilt["messages"], rebuilt["shown"]) == (2, 10, True)
    site.wait()
    eventually(lambda: currents(site) == {"earlier": 30}, what="the new generation")
    assert run_json(site, "verify")["equal"]


@pytest.mark.kafka
def test_where_nothing_came_before_everything_is_as_without(site: Deployment) -> None:
    site.post("/api/goals", {**PURCHASE, "description": "earlier"})
    site.publish(purchases(*range(40)))
    site.wait()
    rebuilt = run_json(site, "rebuild", "--since", "2020-01-01")
    assert (rebuilt["messages"], rebuilt["differences"], rebuilt["since"]) == (40, 0, "2020-01-01T00:00:00.000Z")
    eventually(lambda: currents(site) == {"earlier": 40}, what="the new generation")
    assert "incompleteSince" not in goals(site)["earlier"]
    assert run_json(site, "verify")["equal"]
    assert "lies in the future" in site.refused("rebuild", "--since", "2990-01-01")
    assert "'soon' is no date that exists" in " ".join(site.refused("rebuild", "--since", "soon").split())
