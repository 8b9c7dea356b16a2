"""Runs contenders in turn on real Kafka and Redis, each in a process of its own, and compares what they counted."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis
from kafka import KafkaProducer

from app.embedded.process import ChildProcess
from app.streams.topics import Topics
from tests.benchmarks.events import PER_PROJECT, PROJECTS, Count, definition, write
from tests.end_to_end.processes import Deployment

PARTITIONS = 4
QUIET_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's run."""

    events_per_second: float
    cpu_seconds_per_million: float
    rss_mib: float
    is_right: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """Where everything is."""

    kafka: str
    redis: str
    home: Path
    topic: str
    events: int
    count: Count


def publish(kafka: str, home: Path, redis_url: str, events: int, seed: int) -> Parts:
    """Write the topic once."""
    topic, count = f"bench-{uuid.uuid4().hex[:8]}", Count()
    topics = Topics(kafka)
    topics.create(topic, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
    topics.create(f"{topic}.dead-letters", 1)
    producer = KafkaProducer(bootstrap_servers=kafka, linger_ms=20, batch_size=1 << 18, acks="all")
    for key, value in write(events, seed, count):
        producer.send(topic, value, key=key)
    producer.flush()
    producer.close()
    return Parts(kafka, redis_url, home, topic, events, count)


def run_script(parts: Parts, module: str, expected: Mapping[str, int] | None, **more: str) -> Result:
    """A contender that counts into keys `project:definition` of an empty Redis."""
    with redis.Redis.from_url(parts.redis) as client:
        client.flushall()
        environment = {
            "BENCH_KAFKA": parts.kafka,
            "BENCH_REDIS": parts.redis,
            "BENCH_TOPIC": parts.topic,
            "BENCH_GROUP": f"bench-{uuid.uuid4().hex[:8]}",
            "BENCH_DIR": str(parts.home / "faust"),
            **more,
        }
        command = [sys.executable, "-m", f"tests.benchmarks.contenders.{module}"]
        process = ChildProcess(module, command, parts.home / f"{module}.log", environment)

        def counted() -> int:
            done = client.get("done")
            if module == "bare_aiokafka":
                return int(done or 0)
            return sum(int(client.get(key) or 0) for key in parts.count.naive)

        total = parts.events if module == "bare_aiokafka" else sum(parts.count.naive.values())
        seconds, cpu, rss = _watch(process, counted, total)
        found = {key: int(client.get(key) or 0) for key in parts.count.naive}
    is_right = expected is None or found == dict(expected)
    return Result(parts.events / seconds, cpu / parts.events * 1e6, rss, is_right)


def run_scorekeeper(parts: Parts, database: str) -> Result:
    """A worker as shipped, with nothing switched off."""
    with redis.Redis.from_url(parts.redis) as client:
        client.flushall()
    home = parts.home / uuid.uuid4().hex[:8]
    deployment = Deployment(home, parts.kafka, parts.redis, database, parts.topic)
    group = {"SCOREKEEPER_GROUP": f"bench-{uuid.uuid4().hex[:8]}"}
    command = [str(Path(sys.executable).parent / "scorekeeper"), "worker"]
    process = ChildProcess("scorekeeper", command, home / "worker.log", {**deployment.environment, **group})
    with redis.Redis.from_url(parts.redis, decode_responses=True) as client:

        def counted() -> int:
            return sum(int(mark) for mark in client.hgetall("{sk:1:0}:cp").values())

        seconds, cpu, rss = _watch(process, counted, parts.events)
        found = {
            f"p{project}:{number}": int(client.hget(f"{{sk:1:0}}:c:cg_{project}_{number}", "n") or 0)
            for project in range(PROJECTS)
            for number in range(PER_PROJECT)
        }
    is_right = {key: number for key, number in found.items() if number} == dict(parts.count.exact)
    return Result(parts.events / seconds, cpu / parts.events * 1e6, rss, is_right)


def define(database: str) -> None:
    """The benchmark's projects and definitions, each with a goal, as old as the log."""
    from app.stores.database import Database
    from app.stores.sql import SqlDefinitions

    opened = Database(database)
    opened.migrate()
    store = SqlDefinitions(opened)
    for project in range(PROJECTS):
        store.create_project(f"p{project}", f"p{project}", "UTC")
        for number in range(PER_PROJECT):
            body = definition(number)
            store.create(f"p{project}", "conversion_goal", f"cg_{project}_{number}", body, "bench")
            goal = {"metric": body["metric"], "target": 1_000_000, "deadline": "2036-12-31"}
            store.create(f"p{project}", "goal", f"goal_{project}_{number}", goal, "bench")
    opened.close()


def _watch(process: ChildProcess, counted: Callable[[], int], total: int) -> tuple[float, float, float]:
    """(seconds from the first to the last event counted, CPU seconds in them, greatest memory in MiB)."""
    watched = psutil.Process(process.pid)
    try:
        while counted() == 0:
            assert process.exit_code() is None, process.last_words()
            time.sleep(0.01)
        begun, before, rss = time.perf_counter(), _cpu(watched), 0.0
        at_start = last = counted()
        ended, after = begun, before
        while last < total and time.perf_counter() - ended < max(QUIET_SECONDS, 0.2 * (ended - begun)):
            time.sleep(0.02)
            now = counted()
            if now != last:
                last, ended, after = now, time.perf_counter(), _cpu(watched)
                rss = max(rss, watched.memory_info().rss / 2**20)
        share = max(1, last - at_start) / max(1, last)
        return max(ended - begun, 1e-6) / share, (after - before) / share, rss
    finally:
        process.stop()


def _cpu(watched: Any) -> float:
    times = watched.cpu_times()
    return float(times.user + times.system)


def environment_note() -> str:
    return f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"
