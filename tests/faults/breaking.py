"""The ways to break a site, by name: each breaks something and returns how to heal what does not heal by itself."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from app.embedded.process import ChildProcess
from app.stores.redis_client import REDIS_ERRORS
from tests.faults.proxy import RedisProxy
from tests.faults.site import Site
from tests.faults.traffic import PROJECTS
from tests.servers.brokers import ApacheKafka
from tests.servers.redises import RedisServer

Heal: TypeAlias = Callable[[], object]
WORKERS = 2
MOST_WORKERS = 4


class Breaker:
    """Breaks that site. `ways` holds what may be broken; broker faults only with a Kafka of our own."""

    def __init__(self, site: Site, proxies: Sequence[RedisProxy], seed: int, kafka: ApacheKafka | None) -> None:
        self._site = site
        self._proxies = proxies
        self._chance = random.Random(seed + 1)
        self._kafka = kafka
        self._frozen: set[int] = set()
        self._is_redis_frozen = False
        self._defined = 0
        self.ways: dict[str, Callable[[], Heal | None]] = {
            "kill a worker": self._kill_worker,
            "freeze a worker": self._freeze_worker,
            "stop a worker": self._stop_worker,
            "add a worker": self._add_worker,
            "restart Redis": self._restart_redis,
            "empty Redis": self._empty_redis,
            "roll Redis back": self._roll_redis_back,
            "fill Redis": self._fill_redis,
            "make Redis read-only": self._make_redis_read_only,
            "freeze Redis": self._freeze_redis,
            "lose answers": self._lose_answers,
            "cut connections": self._cut,
        }
        if len(proxies) > 1:
            # Redis refuses it of a shard that holds slots.
            del self.ways["make Redis read-only"]
        if kafka is not None:
            self.ways["kill the broker"] = self._kill_broker
            self.ways["restart the broker"] = self._restart_broker

    def allow_changes(self) -> None:
        """Change definitions too."""
        self.ways["define"] = self._define
        self.ways["edit"] = self._edit
        self.ways["pause"] = self._pause

    def keep_workers(self) -> None:
        """As a supervisor does: there are always enough."""
        while len(self._site.running()) < WORKERS:
            self._site.start_worker()

    # -- workers

    def awake(self) -> Sequence[ChildProcess]:
        """The workers that run and are not frozen."""
        return [worker for worker in self._site.running() if worker.pid not in self._frozen]

    def counting(self) -> Sequence[ChildProcess]:
        """Those of them that said a moment ago that they have partitions. Raises what Redis's driver raises."""
        owners = self._site.owners()
        return [worker for worker in self.awake() if worker.pid in owners]

    def _any_worker(self) -> ChildProcess | None:
        """One that counts if there is one: to break one that only starts proves less."""
        try:
            chosen = self.counting() or self.awake()
        except REDIS_ERRORS:
            chosen = self.awake()
        return self._chance.choice(chosen) if chosen else None

    def _kill_worker(self) -> None:
        worker = self._any_worker()
        if worker is not None:
            worker.kill()

    def _stop_worker(self) -> None:
        worker = self._any_worker()
        if worker is not None:
            worker.signal(signal.SIGTERM)

    def _add_worker(self) -> None:
        if len(self._site.running()) < MOST_WORKERS:
            self._site.start_worker()

    def _freeze_worker(self) -> Heal | None:
        worker = self._any_worker()
        if worker is None:
            return None
        worker.signal(signal.SIGSTOP)
        self._frozen.add(worker.pid)

        def wake() -> None:
            self._frozen.discard(worker.pid)
            worker.signal(signal.SIGCONT)

        return wake

    # -- Redis: one shard of it, where there are several

    def _any_shard(self) -> RedisServer:
        return self._chance.choice(self._site.redis_server.shards)

    def _restart_redis(self) -> None:
        if self._is_redis_frozen:
            return
        shard = self._any_shard()
        shard.kill()
        (shard.home / "dump.rdb").unlink(missing_ok=True)
        shard.start()

    def _empty_redis(self) -> None:
        if not self._is_redis_frozen:
            self._any_shard().admin.flushall()

    def _roll_redis_back(self) -> Heal | None:
        if self._is_redis_frozen:
            return None
        shard = self._any_shard()
        shard.admin.save()

        def go_back() -> None:
            if not self._is_redis_frozen:
                shard.kill()
                shard.start()

        return go_back

    def _fill_redis(self) -> Heal | None:
        return self._configure("maxmemory", "1", "0")

    def _make_redis_read_only(self) -> Heal | None:
        if self._is_redis_frozen:
            return None
        shard = self._any_shard()
        shard.admin.replicaof("127.0.0.1", 1)
        return lambda: self._when_awake(lambda: shard.admin.replicaof("NO", "ONE"))

    def _configure(self, name: str, broken: str, sound: str) -> Heal | None:
        if self._is_redis_frozen:
            return None
        shard = self._any_shard()
        shard.admin.config_set(name, broken)
        return lambda: self._when_awake(lambda: shard.admin.config_set(name, sound))

    def _freeze_redis(self) -> Heal | None:
        if self._is_redis_frozen:
            return None
        self._is_redis_frozen = True
        self._any_shard().pause()
        return self._wake_redis

    def _wake_redis(self) -> None:
        self._is_redis_frozen = False
        self._site.redis_server.resume()

    def _when_awake(self, act: Callable[[], object]) -> None:
        self._wake_redis()
        act()

    def _lose_answers(self) -> Heal:
        proxy = self._chance.choice(self._proxies)
        proxy.swallow_every = self._chance.choice([2, 3, 5])
        proxy.delay_seconds = self._chance.choice([0.0, 0.05, 0.3])

        def heal() -> None:
            proxy.swallow_every, proxy.delay_seconds = 0, 0.0

        return heal

    def _cut(self) -> None:
        for proxy in self._proxies:
            proxy.cut()

    # -- the broker

    def _kill_broker(self) -> None:
        if self._kafka is not None:
            self._kafka.kill()
            self._kafka.start()

    def _restart_broker(self) -> None:
        if self._kafka is not None:
            self._kafka.stop()
            self._kafka.start()

    # -- definitions

    def _define(self) -> None:
        self._defined += 1
        name = f"new-{self._defined}"
        kind = self._chance.choice(("click", "purchase", "pageview"))
        body = {"name": name, "metric": self._chance.choice(("large", name)), "eventType": kind}
        self._site.define(self._chance.choice(PROJECTS), "conversion_goal", name, body)

    def _edit(self) -> None:
        limit = self._chance.choice((10, 50, 100))
        self._change({"conditions": {"amount": {"$gte": limit}}, "eventType": "purchase"})

    def _pause(self) -> None:
        self._change({"status": self._chance.choice(("paused", "active", "active"))})

    def _change(self, changes: dict[str, Any]) -> None:
        project = self._chance.choice(PROJECTS)
        ident = f"{project}-cg-2"
        self._site.definitions.change(
            project, "conversion_goal", ident, lambda before: {**before.body, **changes}, "soak"
        )
