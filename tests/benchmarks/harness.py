"""Runs contenders in turn on real Kafka and Redis, each in a process of its own, and compares what they counted."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import redis
from kafka import KafkaProducer

from app.embedded.process import ChildProcess
from app.stores.generations import stripe_prefix
from app.streams.topics import Topics
from tests.benchmarks.events import PER_PROJECT, PROJECTS, Count, definition, write
from tests.end_to_end.processes import Deployment

PARTITIONS = 4
QUIET_SECONDS = 4.0
"""A contender that has counted nothing for so long has ended: more than the pause between two writes of any of them."""


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's run."""

    events_per_second: float
    cpu_seconds_per_million: float
    rss_mib: float
    is_right: bool
    ready_seconds: float = 0.0
    """From its start to its first event counted."""
    redis_cpu_seconds: tuple[float, ...] = ()
    """Of each Redis server, from the worker's start to the last event counted."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where everything is."""

    kafka: str
    redis: str
    home: Path
    topic: str
    events: int
    count: Count
    projects: int = PROJECTS
    per_project: int = PER_PROJECT
    python: str = sys.executable
    """Of the environment in which the other contenders are installed."""


def publish(
    kafka: str,
    home: Path,
    redis_url: str,
    events: int,
    seed: int,
    *,
    partitions: int = PARTITIONS,
    python: str = sys.executable,
    hot: float = 0.0,
    matching: float = 0.25,
    projects: int = PROJECTS,
    per_project: int = PER_PROJECT,
) -> Parts:
    """Write a topic; `hot` is the share of the events that belong to one project, `matching` of those that match."""
    topic, count = f"bench-{uuid.uuid4().hex[:8]}", Count()
    topics = Topics(kafka)
    topics.create(topic, partitions, config={"message.timestamp.type": "LogAppendTime"})
    topics.create(f"{topic}.dead-letters", 1)
    producer = KafkaProducer(bootstrap_servers=kafka, linger_ms=20, batch_size=1 << 18, acks="all")
    for key, value in write(events, seed, count, hot, matching, projects, per_project):
        producer.send(topic, value, key=key)
    producer.flush()
    producer.close()
    return Parts(kafka, redis_url, home, topic, events, count, projects, per_project, python)


def run_script(parts: Parts, module: str, expected: Mapping[str, int] | None, **more: str) -> Result:
    """A contender that counts into keys `project:definition` of an empty Redis; a floor has nothing `expected`."""
    keys = list(parts.count.naive)
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
        command = [parts.python, "-W", "ignore", "-m", f"tests.benchmarks.contenders.{module}"]
        process = ChildProcess(module, command, parts.home / f"{module}.log", environment)

        def counted() -> int:
            if expected is None:
                return int(client.get("done") or 0)
            return sum(int(number or 0) for number in client.mget(keys))

        total = parts.events if expected is None else sum(parts.count.naive.values())
        measured = watch([process], counted, total)
        found = dict(zip(keys, (int(number or 0) for number in client.mget(keys)), strict=True))
    return result_of(parts.events, measured, expected is None or found == dict(expected))


def connect(url: str) -> Any:
    """A client of one server or of a cluster, with texts as answers."""
    if url.startswith("redis+cluster://"):
        return redis.RedisCluster.from_url(url.replace("+cluster", ""), decode_responses=True)
    return redis.Redis.from_url(url, decode_responses=True)


def redis_cpu(url: str, client: Any) -> list[float]:
    """CPU seconds that each Redis server has used until now."""
    found = client.info("cpu", **({"target_nodes": client.ALL_NODES} if "cluster" in url else {}))
    servers = found.values() if "cluster" in url else [found]
    return [one["used_cpu_user"] + one["used_cpu_sys"] for one in servers]


def start_worker(parts: Parts, database: str, **settings: str) -> ChildProcess:
    """A worker as shipped, with nothing switched off."""
    home = parts.home / uuid.uuid4().hex[:8]
    deployment = Deployment(home, parts.kafka, parts.redis, database, parts.topic)
    group = {"SCOREKEEPER_GROUP": f"bench-{parts.topic}"}
    command = [str(Path(sys.executable).parent / "scorekeeper"), "worker"]
    environment = {**deployment.environment, **group, **settings}
    return ChildProcess("scorekeeper", command, home / "worker.log", environment)


def run_scorekeeper(parts: Parts, database: str, *, workers: int = 1, stripes: int = 1, **settings: str) -> Result:
    """Workers from an empty Redis to the end of the topic."""
    with connect(parts.redis) as client:
        client.flushall()
        before = redis_cpu(parts.redis, client)
        settings = {"SCOREKEEPER_STRIPES": str(stripes), **settings}
        processes = [start_worker(parts, database, **settings) for _ in range(workers)]
        prefixes = [stripe_prefix(1, stripe, stripes) for stripe in range(stripes)]

        def counted() -> int:
            marks = [client.hgetall(f"{prefix}cp") for prefix in prefixes]
            return min(sum(map(int, own.values())) for own in marks)

        measured = watch(processes, counted, parts.events)
        used = tuple(after - own for after, own in zip(redis_cpu(parts.redis, client), before, strict=True))
        found: dict[str, int] = {}
        for project in range(parts.projects):
            for number in range(parts.per_project):
                owners = [f"{prefix}c:cg_{project}_{number}" for prefix in prefixes]
                counts = sum(int(client.hget(owner, "n") or 0) for owner in owners)
                if counts:
                    found[f"p{project}:{number}"] = counts
    return replace(result_of(parts.events, measured, found == dict(parts.count.exact)), redis_cpu_seconds=used)


def define(database: str, *, projects: int = PROJECTS, per_project: int = PER_PROJECT, goals: int = 1) -> None:
    """The benchmark's projects and definitions, each with so many goals, as old as the log."""
    from app.domain.conversion_goal import FOREVER
    from app.domain.history import DefinitionVersion, Project
    from app.stores.database import Database
    from app.stores.sql import SqlDefinitions

    opened = Database(database)
    opened.migrate()
    store = SqlDefinitions(opened)
    for project in range(projects):
        versions = []
        for number in range(per_project):
            body = definition(number)
            goal = {"metric": body["metric"], "target": 1_000_000, "startsAt": "2020-01-01", "deadline": "2036-12-31"}
            kinds = [("conversion_goal", f"cg_{project}_{number}", body)]
            kinds += [
                ("goal", f"goal_{project}_{number}" + (f"_{serial}" if serial else ""), goal) for serial in range(goals)
            ]
            versions += [
                DefinitionVersion(kind, ident, f"p{project}", 1, 0, FOREVER, 0, own) for kind, ident, own in kinds
            ]
        store.restore(Project(f"p{project}", f"p{project}", "UTC", 0), versions, "bench")
    opened.close()


@dataclass(frozen=True, slots=True)
class Measured:
    """What `watch` saw; extrapolated to the whole topic."""

    seconds: float
    cpu_seconds: float
    rss_mib: float
    ready_seconds: float


def result_of(events: int, measured: Measured, is_right: bool) -> Result:
    cpu = measured.cpu_seconds / events * 1e6
    return Result(events / measured.seconds, cpu, measured.rss_mib, is_right, measured.ready_seconds)


def watch(processes: Sequence[ChildProcess], counted: Callable[[], int], total: int) -> Measured:
    """Follow the processes from the first to the last event counted, then end them."""
    watched = [psutil.Process(process.pid) for process in processes]
    started = time.perf_counter()
    try:
        while counted() == 0:
            for process in processes:
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
                rss = max(rss, *(one.memory_info().rss / 2**20 for one in watched))
        share = max(1, last - at_start) / max(1, last)
        return Measured(max(ended - begun, 1e-6) / share, (after - before) / share, rss, begun - started)
    finally:
        for process in processes:
            process.stop()


def _cpu(watched: Sequence[Any]) -> float:
    return sum(float(one.cpu_times().user + one.cpu_times().system) for one in watched)


def environment_note() -> str:
    return f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"
