"""The parts of any process of ours. Each is made when it is first asked for, and connects when it is first used."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from app.bootstrap.addresses import database_url, kafka_options, redis_url
from app.bootstrap.observing import TimedReader, observe_sql
from app.domain.beginning import Spans
from app.domain.folding_rules import FoldingRules
from app.domain.parsing import ParsingRules
from app.embedded.running import make_private_directory
from app.errors import EmbeddedUnavailable, InvalidSettings, StoreUnavailable
from app.stores.database import Database
from app.stores.generations import Generations, new_rules
from app.stores.redis import RedisCounters
from app.stores.redis_client import Client, connect
from app.stores.redis_landmarks import RedisLandmarks
from app.stores.redis_reader import RedisReader
from app.stores.redis_signals import RedisSignals
from app.stores.sql import SqlDefinitions
from app.streams.options import KafkaOptions
from app.streams.security import aiokafka_security, kafka_python_security
from config.settings import DAY_MS, Settings

if TYPE_CHECKING:
    from app.alerting import Alerting, Alerts
    from app.defining import Defining
    from app.domain.progress import Thresholds
    from app.experiments import Experiments
    from app.ports import CatalogSignals
    from app.recording import StatusRecorder
    from app.reporting import Reporter
    from app.stores.sql_alerts import SqlAlerts
    from app.stores.sql_keys import SqlKeys
    from app.stores.sql_status_changes import SqlStatusChanges
    from app.streams.dead_letters import DeadLetterTopic
    from app.streams.letters import Letters
    from app.streams.log import Log
    from app.streams.publishing import Publisher
    from app.streams.topics import Topics


class Parts:
    """Of one process; `name` labels its connections. `async with` closes them at the end.

    `patience_seconds` is how long SQL and Redis may take at most, where somebody waits for an answer.

    Asking for a part raises EmbeddedUnavailable or InvalidSettings when it cannot be had.
    """

    def __init__(self, settings: Settings, name: str, *, patience_seconds: float | None = None) -> None:
        self.settings = settings
        self._patience_seconds = patience_seconds
        self._label = f"scorekeeper-{name}-{os.getpid()}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections; may be repeated."""
        made: dict[str, Any] = self.__dict__
        if "dead_letters" in made:
            await self.dead_letters.close()
        if "redis" in made:
            await self.redis.aclose()
        if "database" in made:
            await asyncio.to_thread(self.database.close)

    # -- SQL

    @cached_property
    def database(self) -> Database:
        """Its schema is as it is found."""
        if self.settings.database is None:
            make_private_directory(self.settings.data_dir)
        database = Database(database_url(self.settings), patience_seconds=self._patience_seconds)
        observe_sql(database.engine)
        return database

    def require_schema(self) -> None:
        """Blocking. SQLite of ours is migrated here; a server's schema must have been migrated.

        Raises InvalidSettings when it was not, StoreUnavailable.
        """
        if self.settings.database is None:
            self.database.migrate()
            return
        pending = self.database.pending_migrations()
        if pending > 0:
            raise InvalidSettings(f"the database lacks {pending} migration(s): run `scorekeeper migrate`")
        if pending < 0:
            raise InvalidSettings("the database was migrated by a newer version: install that version")

    @cached_property
    def definitions(self) -> SqlDefinitions:
        return SqlDefinitions(self.database)

    @cached_property
    def keys(self) -> SqlKeys:
        from app.stores.sql_keys import SqlKeys

        return SqlKeys(self.database)

    @cached_property
    def status_changes(self) -> SqlStatusChanges:
        from app.stores.sql_status_changes import SqlStatusChanges

        return SqlStatusChanges(self.database)

    # -- Redis

    @cached_property
    def redis(self) -> Client:
        url, timeout = redis_url(self.settings), self.settings.redis_timeout_seconds
        if self._patience_seconds is not None:
            timeout = min(timeout, self._patience_seconds)
        return connect(url, name=self._label, timeout_seconds=timeout)

    @cached_property
    def signals(self) -> RedisSignals:
        return RedisSignals(self.redis)

    @cached_property
    def landmarks(self) -> RedisLandmarks:
        return RedisLandmarks(self.redis)

    @cached_property
    def generations(self) -> Generations:
        return Generations(self.redis)

    @cached_property
    def reader(self) -> RedisReader:
        return TimedReader(self.redis)

    async def counters(self) -> RedisCounters:
        """Of the generation that is shown. Raises GenerationMissing, StoreUnavailable."""
        return RedisCounters(self.redis, await self.generations.active())

    # -- Kafka. Its clients are imported by who asks for them: they are a fifth of what a command's start costs.

    @cached_property
    def kafka(self) -> KafkaOptions:
        return kafka_options(self.settings, self._label)

    @cached_property
    def topics(self) -> Topics:
        from app.streams.topics import Topics

        security = kafka_python_security(self.kafka)
        if self._patience_seconds is None:
            return Topics(self.kafka.bootstrap, security)
        # Who asked has given up by then; the thread that waits for brokers that are away is needed by others.
        return Topics(self.kafka.bootstrap, security, timeout_seconds=2 * self._patience_seconds)

    @cached_property
    def log(self) -> Log:
        """Reads the log again."""
        from app.streams.log import Log

        return Log(self.kafka.bootstrap, aiokafka_security(self.kafka))

    async def spans(self) -> Spans:
        """Per position of the topics that are counted: the log's first offset, and its end. Raises StoreUnavailable."""
        topics = await asyncio.to_thread(self.topics.describe, self.settings.topics)
        positions = [position for topic in topics for position in topic.positions()]
        return await asyncio.to_thread(self.topics.ends, positions)

    def publisher(self, topic: str | None = None) -> Publisher:
        """Writes to the first topic that is counted, or to `topic`. Not started."""
        from app.streams.publishing import Publisher

        return Publisher(self.kafka.bootstrap, topic or self.settings.topics[0], aiokafka_security(self.kafka))

    @cached_property
    def dead_letters(self) -> DeadLetterTopic:
        """Writes dead letters."""
        from app.streams.dead_letters import DeadLetterTopic

        return DeadLetterTopic(self.kafka.bootstrap, self.settings.dead_letters, aiokafka_security(self.kafka))

    @cached_property
    def letters(self) -> Letters:
        """Reads them."""
        from app.streams.letters import Letters

        return Letters(self.topics, self.log, self.settings.dead_letters, self.publisher)

    # -- what we do with them. Imported by who asks for it: a worker does none of it, and would be ready later.

    @cached_property
    def defining(self) -> Defining:
        """Definitions' write path. Without a Redis to be found, workers learn of a change from the database alone."""
        from app.defining import Defining

        signals: CatalogSignals = _NoSignals()
        with suppress(EmbeddedUnavailable):
            signals = self.signals
        live = self.settings.live_timeout_seconds
        if self._patience_seconds is None:
            return Defining(self.definitions, signals, live_timeout_seconds=live)
        return Defining(
            self.definitions, signals, live_timeout_seconds=live, patience_seconds=1.3 * self._patience_seconds
        )

    @cached_property
    def reporter(self) -> Reporter:
        from app.reporting import Reporter

        return Reporter(self.definitions, self.reader, self.status_changes, thresholds=thresholds(self.settings))

    @cached_property
    def experiments(self) -> Experiments:
        from app.experiments import Experiments

        return Experiments(self.definitions, self.reader)

    @cached_property
    def status_recorder(self) -> StatusRecorder:
        from app.recording import StatusRecorder

        return StatusRecorder(self.status_changes, self.reporter, lambda: int(time.time() * 1000))

    @cached_property
    def alert_store(self) -> SqlAlerts:
        from app.stores.sql_alerts import SqlAlerts

        return SqlAlerts(self.database)

    @cached_property
    def alerts(self) -> Alerts:
        from app.alerting import Alerts

        return Alerts(self.alert_store, allow_private=self.settings.alerts_allow_private)

    @cached_property
    def alerting(self) -> Alerting:
        from app.alerting import Alerting
        from app.webhook import Webhook

        webhook = Webhook(allow_private=self.settings.alerts_allow_private)
        return Alerting(self.alert_store, self.reporter, webhook, lambda: int(time.time() * 1000))


def parsing_rules(settings: Settings) -> ParsingRules:
    return ParsingRules(
        default_project=settings.default_project,
        max_age_ms=int(settings.max_event_age_days * DAY_MS),
        max_ahead_ms=int(settings.max_event_ahead_seconds * 1000),
    )


def folding_rules(settings: Settings, loads: Mapping[str, int] | None = None) -> FoldingRules:
    """The rules that a new generation begins with; one that exists keeps its own. `loads`: see `spread`."""
    window_ms = int(settings.deduplication_window_days * DAY_MS)
    return new_rules(parsing_rules(settings), window_ms=window_ms, stripes=settings.stripes, loads=loads)


def thresholds(settings: Settings) -> Thresholds:
    from app.domain.progress import Thresholds

    return Thresholds(
        on_track=Decimal(str(settings.status_on_track_ratio)),
        at_risk=Decimal(str(settings.status_at_risk_ratio)),
        grace=Decimal(str(settings.status_grace_ratio)),
    )


class _NoSignals:
    """Implements CatalogSignals where no Redis is known."""

    async def publish(self, revision: int) -> None:
        raise StoreUnavailable("redis", f"nobody can be told of catalog revision {revision}")

    async def worker_revisions(self) -> Mapping[str, int]:
        return {}

    async def workers_out_of_touch(self) -> Sequence[str]:
        return []
