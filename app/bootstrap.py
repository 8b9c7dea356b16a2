"""The one place where things are wired: settings in, working parts out. No rule lives here.

Nothing is connected before it is used. A part without a setting is the embedded one, which `scorekeeper up` starts and
whose address stands in the data directory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from app import metrics
from app.defining import Defining
from app.domain.catalog import Catalog
from app.domain.folding import DeadLetter, FoldingRules
from app.domain.increments import Position
from app.domain.parsing import ParsingRules
from app.domain.progress import Thresholds
from app.embedded.running import find_record, make_private_directory
from app.errors import EmbeddedUnavailable, InvalidSettings, StoreUnavailable
from app.ports import CatalogSignals
from app.refreshing import CatalogRefresher
from app.reporting import Reporter
from app.stores.database import Database
from app.stores.generations import Generations, new_rules
from app.stores.redis import RedisCounters, RedisReader
from app.stores.redis_client import Client, connect
from app.stores.redis_signals import RedisSignals
from app.stores.sql import SqlDefinitions
from app.stores.sql_keys import SqlKeys
from app.streams.dead_letters import LateDeadLetterTopic
from app.streams.options import KafkaOptions
from app.streams.publishing import Publisher
from app.streams.security import aiokafka_security, kafka_python_security
from app.streams.topics import Topics
from app.tracking import Hook, Outcome, no_hook
from config.loading import SettingsError, load
from config.logging import set_up
from config.settings import DAY_MS, Settings

# ---------------------------------------------------------------- settings


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process. Raises InvalidSettings."""
    try:
        return load(overrides)
    except SettingsError as error:
        raise InvalidSettings(str(error)) from error


def kafka_address(settings: Settings) -> str:
    """`host:port[,host:port]`. Raises EmbeddedUnavailable when none is set and none is running."""
    return settings.kafka or _running(settings, "SCOREKEEPER_KAFKA").kafka


def redis_url(settings: Settings) -> str:
    """Raises EmbeddedUnavailable when none is set and none is running."""
    return settings.redis.get_secret_value() if settings.redis else _running(settings, "SCOREKEEPER_REDIS").redis


def database_url(settings: Settings) -> str:
    """SQLite in the data directory when none is set."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{settings.data_dir.resolve() / 'scorekeeper.db'}"


def _running(settings: Settings, variable: str) -> Any:
    running = find_record(settings.data_dir)
    if running is None:
        raise EmbeddedUnavailable(
            f"nothing is running in {settings.data_dir}: start `scorekeeper up` there, or set {variable}"
        )
    return running


# ---------------------------------------------------------------- parts that many need


def database(settings: Settings) -> Database:
    """Not connected; its schema is as it is found."""
    if settings.database is None:
        make_private_directory(settings.data_dir)
    return Database(database_url(settings))


def migrated_database(settings: Settings) -> Database:
    """A database that is ready for use: SQLite of ours is migrated here, a server's must have been.

    Raises InvalidSettings when `scorekeeper migrate` has to be run first.
    """
    found = database(settings)
    if settings.database is None:
        found.migrate()
    elif pending := found.pending_migrations():
        raise InvalidSettings(
            f"the database lacks {pending} migrations: run `scorekeeper migrate`"
            if pending > 0
            else "the database was migrated by a newer version: install that version"
        )
    return found


def definitions(of: Database) -> SqlDefinitions:
    return SqlDefinitions(of)


def keys(of: Database) -> SqlKeys:
    return SqlKeys(of)


def defining(settings: Settings, of: Database) -> Defining:
    """Definitions' write path. Without a Redis to be found, nobody is told of a change but by the database."""
    signals: CatalogSignals = _NoSignals()
    with suppress(EmbeddedUnavailable):
        signals = RedisSignals(redis_client(settings, "cli"))
    return Defining(SqlDefinitions(of), signals, live_timeout_seconds=settings.live_timeout_seconds)


def reporter(settings: Settings, of: Database, client: Client) -> Reporter:
    """The read path, over the generation that is shown."""
    return Reporter(SqlDefinitions(of), RedisReader(client), thresholds=thresholds(settings))


def redis_client(settings: Settings, name: str) -> Client:
    """Not connected. `name` labels the connection."""
    return connect(
        redis_url(settings), name=f"scorekeeper-{name}-{os.getpid()}", timeout_seconds=settings.redis_timeout_seconds
    )


def kafka_options(settings: Settings, name: str) -> KafkaOptions:
    """How to reach Kafka; `name` labels the client."""
    password = settings.kafka_sasl_password
    return KafkaOptions(
        bootstrap=kafka_address(settings),
        topics=settings.topics,
        group=settings.group,
        client_id=f"scorekeeper-{name}-{os.getpid()}",
        session_timeout_seconds=settings.session_timeout_seconds,
        poll_records=settings.poll_records,
        fetch_bytes=settings.fetch_bytes,
        security_protocol=settings.kafka_security_protocol.value,
        sasl_mechanism=settings.kafka_sasl_mechanism.value,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None,
    )


def topics(settings: Settings) -> Topics:
    options = kafka_options(settings, "admin")
    return Topics(options.bootstrap, kafka_python_security(options))


def publisher(settings: Settings, topic: str | None = None) -> Publisher:
    """Writes to the first topic that is counted, or to `topic`. Not started."""
    options = kafka_options(settings, "publisher")
    return Publisher(options.bootstrap, topic or settings.topics[0], aiokafka_security(options))


def folding_rules(settings: Settings) -> FoldingRules:
    """The rules that a new generation begins with; one that exists keeps its own."""
    parsing = ParsingRules(
        default_project=settings.default_project,
        max_age_ms=int(settings.max_event_age_days * DAY_MS),
        max_ahead_ms=int(settings.max_event_ahead_seconds * 1000),
    )
    window_ms = int(settings.deduplication_window_days * DAY_MS)
    return new_rules(parsing, window_ms=window_ms, stripes=settings.stripes)


def thresholds(settings: Settings) -> Thresholds:
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


# ---------------------------------------------------------------- the worker


class WorkerParts:
    """What one worker is made of. `close` ends all connections."""

    def __init__(self, settings: Settings, hook: Hook = no_hook) -> None:
        self._settings = settings
        self.hook = hook
        self.kafka = kafka_options(settings, "worker")
        self.data_dir: Path = settings.data_dir / "faust"
        self._redis = redis_client(settings, "worker")
        self._topics = Topics(self.kafka.bootstrap, kafka_python_security(self.kafka))
        self._database = database(settings)
        self.signals = RedisSignals(self._redis)
        self.catalog = CatalogRefresher(
            SqlDefinitions(self._database),
            allowance_ms=int(settings.clock_allowance_seconds * 1000),
            on_change=_show_catalog,
        )
        self._letters = LateDeadLetterTopic(self.kafka.bootstrap, settings.dead_letters, aiokafka_security(self.kafka))
        self.dead_letters = _CountedLetters(self._letters)

    async def start(self) -> None:
        """Serve metrics, when a port for them is set. Raises InvalidSettings when it is taken."""
        port = self._settings.metrics_port
        if port:
            try:
                start_http_server(port, self._settings.host, metrics.REGISTRY)
            except OSError as error:
                raise InvalidSettings(f"SCOREKEEPER_METRICS_PORT: port {port} cannot be used: {error}") from error

    async def open_store(self, now: int) -> RedisCounters:
        """The counters of the active generation, which is created when there is none."""
        generation = await Generations(self._redis).ensure_active(folding_rules(self._settings), now)
        return RedisCounters(self._redis, generation)

    async def incarnation_of(self, topic: str) -> str:
        """The broker's id of the topic. Raises NotFound, StoreUnavailable."""
        return (await asyncio.to_thread(self._topics.describe, [topic]))[0].incarnation

    async def partitions_of(self, names: Sequence[str]) -> list[Position]:
        """All positions of the topics as they are now. Raises NotFound, StoreUnavailable."""
        found = await asyncio.to_thread(self._topics.describe, names)
        return [position for topic in found for position in topic.positions()]

    def observe(self, position: Position, outcome: Outcome) -> None:
        """Count what a batch came to."""
        del position
        metrics.BATCHES.inc()
        metrics.BATCH_EVENTS.observe(outcome.received)
        for fate in ("counted", "unmatched", "duplicate"):
            metrics.EVENTS.labels(fate).inc(getattr(outcome, fate))
        for reason, number in (outcome.rejected or {}).items():
            metrics.EVENTS.labels("rejected").inc(number)
            metrics.REJECTED.labels(reason).inc(number)
        if outcome.seek_to is not None:
            metrics.RESEEKS.inc()

    async def close(self) -> None:
        await self._letters.close()
        await self._redis.aclose()
        await asyncio.to_thread(self._database.close)


class _CountedLetters:
    """Implements tracking.DeadLetters, and counts them."""

    def __init__(self, inner: LateDeadLetterTopic) -> None:
        self._inner = inner

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        await self._inner.send(letters, position)
        metrics.DEAD_LETTERS.inc(len(letters))


def _show_catalog(catalog: Catalog) -> None:
    metrics.CATALOG_REVISION.set(catalog.revision)


def worker_parts() -> WorkerParts:
    """The parts of this process's worker. Sets up logging. Raises InvalidSettings, EmbeddedUnavailable."""
    settings = load_settings()
    set_up(settings)
    return WorkerParts(settings)
