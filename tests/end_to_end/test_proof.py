"""`verify`, `rebuild` and dead letters: the product proves its numbers, and gets them back from the log."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaProducer

from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually


@pytest.fixture
def scorekeeper(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> Iterator[Deployment]:
    """One worker, one API, a project with two definitions and a goal for each aggregation."""
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(3)) as made:
        made.start_worker()
        made.start_api()
        made.create_project("shop", "--time-zone", where_it_is_noon())
        eventually(lambda: len(made.live_workers()) == 1, what="a worker with partitions")
        purchase = {"name": "Purchase", "eventType": "purchase", "valueProperty": "amount"}
        made.post("/api/conversion-goals", purchase)
        made.post("/api/conversion-goals", {"name": "Visit", "eventType": "pageview", "counting": "once_per_session"})
        for aggregation in ("count", "sum", "unique"):
            goal = {"metric": "purchase", "target": 1000, "deadline": "2036-12-31", "aggregation": aggregation}
            made.post("/api/goals", goal)
        rate = {"metric": "purchase", "denominatorMetric": "visit", "aggregation": "rate"}
        made.post("/api/goals", {**rate, "target": 10, "deadline": "2036-12-31", "period": "day"})
        yield made


def where_it_is_noon() -> str:
    """A time zone in which no day ends soon."""
    east = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-east:+d}"


class Shop:
    """A seeded shop that keeps its own count of what it writes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._sent: dict[str, bytes] = {}
        self._sessions: set[str] = set()
        self._bought: list[dict[str, Any]] = []
        self.purchases = 0
        self.cents = 0
        self.buyers: set[str] = set()
        self.visits = 0
        self.duplicates = 0
        self.poison = 0

    def lines(self, number: int) -> list[bytes]:
        return [self._line() for _ in range(number)]

    def _line(self) -> bytes:
        chance = self._random.random()
        if chance < 0.1 and self._sent:
            self.duplicates += 1
            return self._random.choice(list(self._sent.values()))
        if chance < 0.12:
            self.poison += 1
            return json.dumps({"type": 7, "projectKey": "shop", "id": "bad"}).encode()
        who = f"v{self._random.randrange(200)}"
        session = f"s-{who}-{self._random.randrange(5)}"
        if chance < 0.15 and self._bought:
            return self._taken_back()
        event: dict[str, Any] = {
            "id": f"e{len(self._sent)}-{self._random.getrandbits(40)}",
            "projectKey": "shop",
            "visitorId": who,
            "sessionId": session,
        }
        if chance < 0.4:
            cents = self._random.randrange(100, 99_999)
            self.purchases += 1
            self.cents += cents
            self.buyers.add(who)
            event |= {"type": "purchase", "data": {"amount": cents / 100}}
        else:
            if session not in self._sessions:
                self._sessions.add(session)
                self.visits += 1
            event |= {"type": "pageview", "url": f"https://shop.example/p/{chance:.2f}"}
        if self._random.random() < 0.5:
            event["experiments"] = {"button": self._random.choice(["red", "red", "green"])}
        if event["type"] == "purchase":
            self._bought.append(event)
        line = json.dumps(event).encode()
        self._sent[event["id"]] = line
        return line

    def _taken_back(self) -> bytes:
        """Its buyer stays one."""
        bought = self._bought.pop(self._random.randrange(len(self._bought)))
        self.purchases -= 1
        self.cents -= round(bought["data"]["amount"] * 100)
        correction = {"type": "$retract", "eventType": "purchase", "retracts": bought["id"], "id": f"no-{bought['id']}"}
        line = json.dumps({**bought, **correction}).encode()
        self._sent[f"no-{bought['id']}"] = line
        return line

    def figures(self) -> list[float]:
        """count, sum, unique, rate."""
        rate = round(100 * self.purchases / self.visits, 6)
        return [self.purchases, self.cents / 100, len(self.buyers), rate]


def figures(scorekeeper: Deployment) -> list[float | None]:
    return [goal["current"] for goal in scorekeeper.get("/api/goals")]


@pytest.mark.kafka
def test_the_shop_is_counted_proved_emptied_and_counted_again(scorekeeper: Deployment, redis_url: str) -> None:
    shop = Shop(7)
    scorekeeper.publish(shop.lines(3_000))
    scorekeeper.wait()
    assert figures(scorekeeper) == pytest.approx(shop.figures())
    assert "equal" in scorekeeper.run("verify")

    with redis.Redis.from_url(redis_url) as client:
        goal = scorekeeper.get("/api/goals")[0]["id"]
        client.hincrby(f"{{sk:1:0}}:g:{goal}", "n", 1)
        verdict = json.loads(scorekeeper.run("verify", "--json", check=False))
        assert [d["counted"] - d["recounted"] for d in verdict["differences"]] == [1]
        assert verdict["differences"][0]["eventIds"]

        (tested,) = client.keys("{sk:1:0}:x:*")
        client.hincrby(tested, "e|red", 1)
        verdict = json.loads(scorekeeper.run("verify", "--json", check=False))
        (exposed,) = [d for d in verdict["differences"] if d["field"] == "e|red"]
        assert exposed["counted"] - exposed["recounted"] == 1
        assert exposed["eventIds"]

        client.flushall()
    eventually(lambda: figures(scorekeeper) == pytest.approx(shop.figures()), what="counting again from the log")
    scorekeeper.publish(shop.lines(500), "more")
    scorekeeper.wait()
    assert figures(scorekeeper) == pytest.approx(shop.figures())
    assert json.loads(scorekeeper.run("verify", "--json"))["equal"]


@pytest.mark.kafka
def test_a_rebuild_gives_the_same_numbers_and_can_be_switched_back(scorekeeper: Deployment) -> None:
    shop = Shop(8)
    scorekeeper.publish(shop.lines(1_000))
    scorekeeper.wait()

    rebuilt = json.loads(scorekeeper.run("rebuild", "--json"))
    assert rebuilt == {**rebuilt, "generation": 2, "differences": 0, "shown": True}
    scorekeeper.publish(shop.lines(500), "more")
    scorekeeper.wait()
    assert figures(scorekeeper) == pytest.approx(shop.figures())
    assert json.loads(scorekeeper.run("verify", "--json"))["equal"]

    switched = json.loads(scorekeeper.run("generations", "switch", "1", "--json"))
    assert switched == {"generation": 1, "shown": True}
    eventually(lambda: figures(scorekeeper) == pytest.approx(shop.figures()), what="counting in the old generation")
    dropped = json.loads(scorekeeper.run("generations", "drop", "2", "--json"))
    assert dropped == {"generation": 2, "deleted": True}
    assert [row["generation"] for row in json.loads(scorekeeper.run("generations", "--json"))] == [1]


def subject_of(line: bytes) -> bytes | None:
    """The key by which a visitor's events stay in their order."""
    visitor = json.loads(line).get("visitorId")
    return None if visitor is None else visitor.encode()


@contextmanager
def published_without_end(scorekeeper: Deployment, kafka: str, shop: Shop) -> Iterator[None]:
    """Some hundred messages a second, until the block ends."""
    is_over = threading.Event()

    def publish() -> None:
        producer = KafkaProducer(bootstrap_servers=kafka, linger_ms=0)
        while not is_over.wait(0.02):
            for line in shop.lines(10):
                producer.send(scorekeeper.topic, line, key=subject_of(line))
            producer.flush()
        producer.close()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.kafka
def test_proof_and_rebuild_beside_traffic_that_does_not_end(scorekeeper: Deployment, kafka_bootstrap: str) -> None:
    shop = Shop(9)
    scorekeeper.publish(shop.lines(2_500))
    with published_without_end(scorekeeper, kafka_bootstrap, shop):
        for number in (1, 2):
            verdict = json.loads(scorekeeper.run("verify", "--json", check=False))
            assert (verdict["differences"], verdict["unprovable"]) == ([], [])
            scorekeeper.post("/api/conversion-goals", {"name": f"More {number}", "eventType": "purchase"})
        before = scorekeeper.get("/api/goals")[0]["freshAsOf"]
        rebuilt = json.loads(scorekeeper.run("rebuild", "--json"))
        goals = scorekeeper.get("/api/goals")
        assert rebuilt["shown"]
        assert rebuilt["differences"] in (0, None)
        assert all(goal["freshAsOf"] >= before and "incompleteSince" not in goal for goal in goals)
        assert json.loads(scorekeeper.run("verify", "--json"))["equal"]
    scorekeeper.wait()
    assert figures(scorekeeper) == pytest.approx(shop.figures())
    assert json.loads(scorekeeper.run("verify", "--json"))["equal"]


@pytest.mark.kafka
def test_dead_letters_are_named_and_replayed_without_counting_twice(scorekeeper: Deployment) -> None:
    event = {"type": "purchase", "projectKey": "later", "visitorId": "v", "data": {"amount": 5}}
    scorekeeper.publish([json.dumps(event).encode(), b'{"projectKey": "shop", "type": "purchase", "timestamp": "?"}'])
    scorekeeper.wait()
    letters = json.loads(scorekeeper.run("dead-letters", "list", "--json"))
    assert sorted(letter["reason"] for letter in letters) == ["invalid_timestamp", "unknown_project"]
    unknown = next(letter for letter in letters if letter["reason"] == "unknown_project")
    assert json.loads(unknown["value"]) == event
    assert json.loads(scorekeeper.run("dead-letters", "show", unknown["id"], "--json")) == unknown

    scorekeeper.create_project("later")
    scorekeeper.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase", "valueProperty": "amount"})
    for _ in range(2):
        replayed = scorekeeper.run("dead-letters", "replay", "--reason", "unknown_project", "--json")
        assert json.loads(replayed) == {"replayed": 1}
        scorekeeper.wait()
    (counted,) = scorekeeper.get("/api/conversion-goals")
    assert (counted["conversions"], counted["value"]) == (1, 5)
