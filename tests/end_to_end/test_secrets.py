"""No secret that was used is found anywhere: database, Redis, Kafka, logs, metrics, answers, or process lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import create_engine, make_url

from api.auth import SESSION_COOKIE
from app.stores.tables import metadata
from tests.end_to_end.processes import PATIENCE_SECONDS, Deployment, eventually, patiently
from tests.servers.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

REDIS_SECRET, SQL_SECRET = "redis-secret-7f3a", "sql-secret-91bc"
CONTROL = "shop-of-controls"
"""Not a secret: it must be found, or the search does not search."""


def everything_in_sql(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = repr([connection.execute(table.select()).all() for table in metadata.sorted_tables])
    engine.dispose()
    return found


def everything_in_redis(url: str) -> str:
    # Binary values as they lie there: `DUMP` compresses texts.
    with redis.Redis.from_url(url) as client:
        found: list[Any] = []
        for key in client.scan_iter():
            kind = client.type(key)
            read: dict[bytes, Callable[[Any], Any]] = {
                b"string": client.get,
                b"hash": client.hgetall,
                b"set": client.smembers,
                b"stream": client.xrange,
                b"list": lambda name: client.lrange(name, 0, -1),
                b"zset": lambda name: client.zrange(name, 0, -1),
                b"none": lambda _: None,  # its time was over meanwhile
            }
            found.append((key, read[kind](key)))
        return repr(found)


def everything_in_kafka(bootstrap: str, topics: list[str]) -> str:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    try:
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic)
        ]
        consumer.assign(partitions)
        ends, found = consumer.end_offsets(partitions), []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                found += [(record.key, record.value, record.headers) for record in records]
        return repr(found)
    finally:
        consumer.close()


def process_list() -> str:
    """What `ps` shows to everybody."""
    return repr([process.info["cmdline"] for process in psutil.process_iter(["cmdline"])])


@pytest.fixture
def scorekeeper(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, postgres_url: str, make_topic: Callable[..., str]
) -> Iterator[Deployment]:
    """With a password for each store, and a clear text for none."""
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser(
            "counter", enabled=True, passwords=[f"+{REDIS_SECRET}"], keys=["*"], channels=["*"], commands=["+@all"]
        )
    host = redis_url.removeprefix("redis://")
    database = make_url(postgres_url).set(password=SQL_SECRET).render_as_string(hide_password=False)
    redis_with_password = f"redis://counter:{REDIS_SECRET}@{host}"
    settings = {"SCOREKEEPER_LOG_FORMAT": "json", "SCOREKEEPER_METRICS_PORT": str(free_port())}
    # Not forked: the process list has to show what users start.
    with Deployment(tmp_path, kafka_bootstrap, redis_with_password, database, make_topic(2), **settings) as made:
        yield made


def test_no_secret_that_was_used_is_found_anywhere(scorekeeper: Deployment, kafka_bootstrap: str) -> None:
    scorekeeper.create_project(CONTROL)
    scorekeeper.start_worker()
    scorekeeper.start_api()
    eventually(scorekeeper.live_workers, what="a worker with partitions")
    keys = [scorekeeper.key]
    keys.append(json.loads(scorekeeper.run("keys", "create", "--project", CONTROL, "--json"))["apiKey"])
    session = signed_in(scorekeeper.url, keys[1])
    answers = [use(scorekeeper, key) for key in keys]
    answers += [look(f"{scorekeeper.url}/api/goals", cookies={SESSION_COOKIE: session})]
    answers += [look(f"{scorekeeper.url}{path}") for path in ("/metrics", "/docs", "/health/ready", "/")]
    answers += [look(f"http://127.0.0.1:{scorekeeper.environment['SCOREKEEPER_METRICS_PORT']}/metrics")]
    answers += [scorekeeper.run(*command) for command in (["settings"], ["settings", "--json"], ["status"], ["verify"])]
    answers += [scorekeeper.run("doctor", check=False)]
    redis_url = scorekeeper.environment["SCOREKEEPER_REDIS"]
    scorekeeper.environment["SCOREKEEPER_REDIS"] = f"redis://counter:{REDIS_SECRET}@127.0.0.1:{free_port()}"
    answers += [scorekeeper.refused("status")]
    searched = {
        "the database": everything_in_sql(scorekeeper.environment["SCOREKEEPER_DATABASE"]),
        "Redis": everything_in_redis(redis_url),
        "Kafka": everything_in_kafka(kafka_bootstrap, [scorekeeper.topic, f"{scorekeeper.topic}.dead-letters"]),
        "logs": "".join(file.read_text() for file in scorekeeper.home.glob("*.log")),
        "answers": "".join(answers),
        "process lists": process_list(),
    }
    secrets = [REDIS_SECRET, SQL_SECRET, session, *(part for key in keys for part in (key, key.split("_")[2]))]
    for place in ("the database", "Redis", "Kafka", "answers"):
        assert CONTROL in searched[place], f"nothing was searched in {place}"
    assert "/api/goals" in searched["logs"]
    assert "scorekeeper" in searched["process lists"]
    assert [line for file in scorekeeper.home.glob("*.log") for line in strange_lines(file)] == []
    assert [(place, secret) for place, text in searched.items() for secret in secrets if secret in text] == []


def strange_lines(log: Path) -> list[str]:
    """Those that do not begin as our JSON does: whatever else stands there spoils the line that follows."""
    return [line for line in log.read_text().split("\n") if line and not line.startswith('{"time": ')]


def look(url: str, **options: Any) -> str:
    return httpx.get(url, timeout=PATIENCE_SECONDS, **options).text


def signed_in(url: str, key: str) -> str:
    """The cookie of a session that the key opened."""
    headers = {"origin": url, "sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_SECONDS) as client:
        answer = patiently(lambda: client.post("/session", json={"apiKey": key}))
        assert answer.status_code < 400, answer.text
        (cookie,) = [value for value in client.cookies.values() if value]
        return cookie


def use(scorekeeper: Deployment, key: str) -> str:
    """Everything a client does with its key, right and wrong; returns all that was answered."""
    headers = {"x-api-key": key}
    event = {"type": "purchase", "id": f"id-{len(key)}", "projectKey": CONTROL}
    with httpx.Client(base_url=scorekeeper.url, headers=headers, timeout=PATIENCE_SECONDS) as client:
        answers = [
            client.post("/api/conversion-goals", json={"name": "Purchase", "eventType": "purchase"}),
            client.post("/api/goals", json={"metric": "purchase", "target": 10, "deadline": "2036-12-31"}),
            client.post("/api/events", json=event),
            client.post("/api/events", json={**event, "timestamp": "yesterday"}),
            client.get("/api/goals"),
            client.get("/api/audit"),
            client.get("/api/goals", headers={"x-api-key": key[:-1] + "~"}),
            client.get("/api/nowhere"),
        ]
    return "".join(answer.text for answer in answers)
