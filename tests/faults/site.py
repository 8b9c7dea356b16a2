"""A whole Scorekeeper to break: real Kafka topics, a Redis and a database of its own, and worker processes.

Publishes traffic from a seed; at the end the oracle reads the raw log and every figure in Redis is compared with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from app.domain.history import DefinitionVersion
from app.embedded.process import ChildProcess
from app.stores.database import Database
from app.stores.generations import stripe_prefix
from app.stores.redis_client import REDIS_ERRORS
from app.stores.sql import SqlDefinitions
from app.streams.topics import CLOSING_SOCKETS, Topics
from tests.end_to_end.processes import eventually
from tests.faults.comparing import differences
from tests.faults.oracle import Answer, Definition, Message, count
from tests.faults.poison import POISON
from tests.faults.raw_log import dead_letters_of, read_all, send_nothing
from tests.faults.traffic import CONVERSION_GOALS, GOALS, PROJECTS, Traffic
from tests.servers.forking import SCOREKEEPER, ForkedProcess, run_forked
from tests.servers.redises import RedisClusterServers, RedisServer

SESSION_SECONDS = 2.0
TAKEOVER_SECONDS = SESSION_SECONDS + 3.0


ON_CLUSTER = os.environ.get("SCOREKEEPER_TEST_REDIS") == "cluster"
"""Whether sites have a Redis Cluster of three shards where nothing else is said (`make test-cluster`)."""
CLUSTER_STRIPES = "4"
"""The fewest whose hash slots, in generation 1, lie on all three shards."""

SABOTAGE: list[str] = []
"""The protections that workers are started without, see sabotage.py; none but there."""


HEARD_OF_MS = 2_500
"""Workers report twice a second."""
IS_LONG = os.environ.get("SCOREKEEPER_TEST_LONG") == "1"
long_only = pytest.mark.skipif(not IS_LONG and not ON_CLUSTER, reason="long: set SCOREKEEPER_TEST_LONG=1")


def in_time(seconds: float) -> float:
    """What a promise of so many seconds is held to: exactly in the long form, for which the machine should be idle;
    beside other tests, which take the processors from what is measured, three times as long."""
    return seconds if IS_LONG else 3 * seconds


def patience(seconds: float) -> float:
    """How long to wait for counting; without a protection, in sabotage.py, less: there it is known to fail."""
    return seconds


def now_ms() -> int:
    return int(time.time() * 1000)


class Site:
    """Made whole: topics, Redis, database and definitions exist; no worker runs yet."""

    def __init__(
        self,
        home: Path,
        kafka: str,
        *,
        seed: int = 1,
        partitions: int = 4,
        poison: float = 0.01,
        spread: bool = True,
        database: str | None = None,
        cluster: bool = ON_CLUSTER,
        **settings: str,
    ) -> None:
        self.home = home
        self.kafka = kafka
        self.seed = seed
        self.partitions = partitions
        if cluster:
            settings = {"SCOREKEEPER_STRIPES": CLUSTER_STRIPES, **settings}
        self.stripes = int(settings.get("SCOREKEEPER_STRIPES", "1"))
        self.topic = f"events-{uuid.uuid4().hex[:12]}"
        self.topics = Topics(kafka)
        self.create_topics()
        self.more_topics: list[str] = []
        """What workers are set to read besides, from their start on."""
        self.redis_server: RedisServer | RedisClusterServers = (
            RedisClusterServers(home / "redis") if cluster else RedisServer(home / "redis")
        )
        self.redis_url = self.redis_server.url
        self.redis: Any = self.redis_server.client()
        self.database = Database(database or f"sqlite:///{home / 'scorekeeper.db'}")
        self.database.migrate()
        self.definitions = SqlDefinitions(self.database)
        self._settings = {"SCOREKEEPER_DATABASE": database or f"sqlite:///{home / 'scorekeeper.db'}", **settings}
        self.workers: list[ChildProcess] = []
        self._traffic = Traffic(seed, partitions=partitions, now=now_ms(), poison=poison, spread=spread)
        self._sent: list[tuple[int, int]] = []
        self.define_everything()

    # -- what is fixed at the start

    def create_topics(self) -> None:
        self.topics.create(self.topic, self.partitions, config={"message.timestamp.type": "LogAppendTime"})
        self.topics.create(f"{self.topic}.dead-letters", 1)

    def define_everything(self) -> None:
        """Projects and definitions of the traffic; returns when they act."""
        acts_from = 0
        for project in PROJECTS:
            self.definitions.create_project(project, project, "UTC")
            for number, body in enumerate(CONVERSION_GOALS):
                acts_from = self.define(project, "conversion_goal", f"{project}-cg-{number}", body).effective_from
            for number, body in enumerate(GOALS):
                whole = {"target": 1, "deadline": "2090-01-01", "startsAt": "2020-01-01", **body}
                acts_from = self.define(project, "goal", f"{project}-goal-{number}", whole).effective_from
        eventually(lambda: now_ms() > acts_from, 60, "the definitions' beginning")

    def define(self, project: str, kind: str, ident: str, body: dict[str, Any]) -> DefinitionVersion:
        return self.definitions.create(project, kind, ident, body, "test")

    # -- workers

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SCOREKEEPER_KAFKA": self.kafka,
            "SCOREKEEPER_REDIS": self.redis_url,
            "SCOREKEEPER_TOPIC": ",".join([self.topic, *self.more_topics]),
            "SCOREKEEPER_GROUP": f"group-{self.topic}",
            "SCOREKEEPER_DATA_DIR": str(self.home / f"data-{len(self.workers)}"),
            "SCOREKEEPER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "SCOREKEEPER_REDIS_TIMEOUT_SECONDS": "1",
            "SCOREKEEPER_POLL_RECORDS": "100",
            "SCOREKEEPER_LOG_FORMAT": "text",
            **self._settings,
        }

    def start_worker(self, module: str = "agents", *arguments: str, forked: bool = True) -> ChildProcess:
        log = self.home / f"worker-{len(self.workers)}.log"
        name = f"worker {len(self.workers)}"
        if SABOTAGE and module == "agents":
            module = "tests.faults.sabotage"
        command = [sys.executable, "-m", module, *arguments, *SABOTAGE]
        worker = (ForkedProcess if forked else ChildProcess)(name, command, log, self.environment)
        self.workers.append(worker)
        return worker

    def start_workers(self, number: int = 2, module: str = "agents", *arguments: str) -> list[ChildProcess]:
        """Returns when each of them has partitions."""
        started = [self.start_worker(module, *arguments) for _ in range(number)]
        eventually(lambda: len(self.owners()) >= number, 90, f"{number} workers with partitions")
        return started

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line, on the site's parts."""
        return run_forked([SCOREKEEPER, *arguments], self.environment, 180)

    def owners(self) -> dict[int, list[str]]:
        """Process id -> the partitions it counts, of those workers that report now."""
        return {report["pid"]: report["partitions"] for report in self._reports() if report["partitions"]}

    def revisions(self) -> list[int]:
        """The catalog revision of each worker that reports now."""
        return [report["revision"] for report in self._reports()]

    def _reports(self) -> list[dict[str, Any]]:
        reports = [json.loads(text) for text in self.redis.hvals("sk:workers")]
        return [report for report in reports if now_ms() - report["at"] < HEARD_OF_MS]

    def running(self) -> list[ChildProcess]:
        return [worker for worker in self.workers if worker.exit_code() is None]

    def wait_until_joined(self, worker: ChildProcess) -> None:
        """Return when the worker has partitions."""
        eventually(lambda: worker.pid in self.owners(), 90, f"partitions of {worker.name}")

    def wait_until_ended(self, worker: ChildProcess) -> int | None:
        """The worker's exit code."""
        eventually(lambda: worker.exit_code() is not None, 90, f"the end of {worker.name}")
        return worker.exit_code()

    # -- traffic

    def publish(self, number: int) -> None:
        """Returns when the broker has them."""
        self.send([(sent.partition, sent.key, sent.value) for sent in self._traffic.take(number)])

    def more_traffic(self, partitions: int) -> Traffic:
        """Other traffic, over another number of partitions."""
        return Traffic(self.seed + 1000, partitions=partitions, now=now_ms())

    def send(self, messages: Sequence[tuple[int, bytes | None, bytes | None]]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=5, retries=20, **CLOSING_SOCKETS)
        try:
            pending = [
                producer.send(self.topic, partition=where, key=key, value=value) for where, key, value in messages
            ]
            for sent in pending:
                sent.get(60)
        finally:
            # Without a limit it waits for ever, now and then, after a broker has come back.
            producer.close(timeout=30)

    def send_nothing(self) -> None:
        """A message with neither key nor value, as some producers write them; kafka-python does not."""
        asyncio.run(send_nothing(self.kafka, self.topic))

    def losses(self) -> dict[int, int]:
        """Partition -> how many messages were reported lost."""
        found: dict[int, int] = {}
        for loss in self.told_losses():
            found[loss["partition"]] = found.get(loss["partition"], 0) + loss["number"]
        return found

    def told_losses(self) -> list[dict[str, Any]]:
        """As they were reported."""
        return [json.loads(text) for text in self.redis.hvals(self.prefix(0) + "loss")]

    def prefix(self, stripe: int) -> str:
        """What the keys of a stripe of the generation that is shown begin with; of none, when there is none."""
        return stripe_prefix(int(self.redis.get("sk:active") or 0), stripe, self.stripes)

    def redis_now_ms(self) -> int:
        """The clock of Redis."""
        seconds, micros = self.redis_server.shards[0].admin.time()
        return int(seconds * 1000 + micros // 1000)

    def fresh_as_of(self) -> int:
        """Up to when every position that reports is complete."""
        fresh = self.redis.hgetall(self.prefix(0) + "fresh")
        return min((int(json.loads(text)[0]) for text in fresh.values()), default=0)

    # -- what became of it

    def ends(self) -> dict[int, tuple[int, int]]:
        (found,) = self.topics.describe([self.topic])
        return {position.partition: ends for position, ends in self.topics.ends(found.positions()).items()}

    def hashes(self) -> dict[str, dict[str, int]]:
        """Every hash of the generation that is shown, read as plain keys; those of several stripes are added up."""
        number = self.redis.get("sk:active")
        found: dict[str, dict[str, int]] = {}
        for key in self.redis.scan_iter(match=f"{{sk:{number}:*", count=1000, _type="hash"):
            name = key.split("}:", 1)[1]
            if name in {"fresh", "loss", "ep"} or name.startswith(("s:", "l:")):
                continue
            own = found.setdefault(name, {})
            for field, value in self.redis.hgetall(key).items():
                own[field] = own.get(field, 0) + int(value)
        return found

    def checkpoints(self) -> dict[int, int]:
        """Of the topic as it is now."""
        (topic,) = self.topics.describe([self.topic])
        return self._checkpoints(topic.incarnation)

    def _checkpoints(self, incarnation: str) -> dict[int, int]:
        """The lowest of all stripes."""
        stripes = [self.redis.hgetall(self.prefix(one) + "cp") for one in range(self.stripes)]
        names = {name for stripe in stripes for name in stripe if name.endswith(f":{incarnation}")}
        return {int(name.split(":")[1]): min(int(stripe.get(name, 0)) for stripe in stripes) for name in names}

    def wait_until_counted(
        self, timeout_seconds: float = 150, *, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Return when every checkpoint is at the log's end; `meanwhile` is called again and again."""
        (topic,) = self.topics.describe([self.topic])
        ends = {partition: end for partition, (_, end) in self.ends().items() if end}

        last: list[object] = []

        def is_counted() -> bool:
            meanwhile()
            try:
                found = self._checkpoints(topic.incarnation)
            except REDIS_ERRORS as error:
                last[:] = [repr(error)]
                return False
            last[:] = [found]
            return all(found.get(partition, 0) >= end for partition, end in ends.items())

        try:
            eventually(is_counted, patience(timeout_seconds), f"counting up to {ends}")
        except AssertionError as late:
            tails = [
                f"{worker.name} ({worker.exit_code()}): …{worker.log.read_text()[-3000:]}" for worker in self.workers
            ]
            raise AssertionError("\n".join([f"{late}; checkpoints: {last}", *tails])) from None

    def log(self) -> list[Message]:
        """Everything that the log holds now."""
        return self.read_all(self.topic, self.ends())

    def read_all(self, topic: str, ends: dict[int, tuple[int, int]] | None = None) -> list[Message]:
        """Everything that a topic holds now."""
        if ends is None:
            (found,) = self.topics.describe([topic])
            ends = {position.partition: own for position, own in self.topics.ends(found.positions()).items()}
        return read_all(self.kafka, topic, ends)

    def dead_letter_offsets(self) -> set[tuple[int, int, str]]:
        """(partition, offset, reason) of each dead letter."""
        return dead_letters_of(self.kafka, self.topic)

    def differences(
        self, log: Sequence[Message] | None = None, poison: Mapping[bytes | None, str] = POISON
    ) -> list[str]:
        """Between Redis and the raw log; and each poisoned message that has no dead letter."""
        messages = self.log() if log is None else log
        kinds = {version.id: version.kind for version in self.definitions.history().versions}
        found = differences(self.hashes(), self.answer(messages, poison), kinds)
        letters = self.dead_letter_offsets()
        for message in messages:
            reason = poison.get(message.value)
            if reason is not None and (message.partition, message.offset, reason) not in letters:
                found.append(f"no dead letter for {message.partition}/{message.offset} ({reason})")
        return found

    def answer(self, log: Sequence[Message], poison: Mapping[bytes | None, str] = POISON) -> Answer:
        """What the oracle says of this log, with the definitions' history."""
        history = self.definitions.history()
        versions = [
            Definition(v.kind, v.id, v.project, v.effective_from, v.effective_until, v.created_at, v.body)
            for v in history.versions
        ]
        return count(log, {one.key: one.created_at for one in history.projects}, versions, poison)

    def stop(self) -> None:
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            worker.kill()
        self.redis.close()
        self.redis_server.resume()
        self.redis_server.stop()
        self.database.close()


MakeSite = Callable[..., Site]


@contextmanager
def sites(home: Path, kafka: str) -> Iterator[MakeSite]:
    """Makes sites whose processes end with the block."""
    made: list[Site] = []

    def make(**options: Any) -> Site:
        site = Site(home / f"site-{len(made)}", options.pop("kafka", kafka), **options)
        made.append(site)
        return site

    try:
        yield make
    finally:
        for site in made:
            site.stop()


def seconds_until(is_so: Callable[[], Any], timeout_seconds: float, what: str) -> float:
    """How long it took."""
    begun = time.monotonic()
    eventually(is_so, timeout_seconds, what)
    return time.monotonic() - begun
