"""What one worker is made of."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from prometheus_client import start_http_server

from app import metrics
from app.bootstrap.addresses import load_settings
from app.bootstrap.observing import StepClock, TimedCounters
from app.bootstrap.parts import Parts, folding_rules
from app.bootstrap.priority import Priority, own_group
from app.bootstrap.tracing import make_tracer
from app.domain.catalog import Catalog
from app.domain.folding import DeadLetter
from app.domain.increments import Position
from app.domain.invalid_share import InvalidShare
from app.domain.witness import Witness
from app.errors import InvalidSettings, NotFound, OtherScheme, StoreUnavailable
from app.hooks import Hook, no_hook
from app.receipting import ReceiptSender
from app.refreshing import CatalogRefresher
from app.stores.redis import RedisCounters
from app.stores.redis_outbox import RedisOutbox
from app.streams.dead_letters import DeadLetterTopic
from app.streams.receipts import KafkaReceipts
from app.streams.security import aiokafka_security
from app.tracking import Outcome
from config.logging import set_up
from config.settings import Settings

log = logging.getLogger(__name__)

_events = cache(metrics.EVENTS.labels)


class WorkerParts:
    """What app/worker.py asks for. `close` ends all connections."""

    def __init__(self, settings: Settings, hook: Hook = no_hook) -> None:
        self._settings = settings
        self._parts = Parts(settings, "worker")
        self.hook = StepClock(hook)
        self._invalid_share = InvalidShare(settings.invalid_share_warning)
        self._priority = Priority(own_group())
        self.kafka = self._parts.kafka
        self.data_dir: Path = settings.data_dir / "faust"
        self.signals = self._parts.signals
        self.landmarks = self._parts.landmarks
        self.log = self._parts.log
        self._descriptions = self._parts.topics.kept_descriptions()
        self._records = self._parts.topics.kept_records()
        self.catalog = CatalogRefresher(
            self._parts.definitions,
            allowance_ms=int(settings.clock_allowance_seconds * 1000),
            on_change=show_catalog,
        )
        self.dead_letters = _CountedLetters(self._parts.dead_letters)

        self._tracer = make_tracer(settings.traces, "worker")
        self._receipts: KafkaReceipts | None = None
        self.receipts: ReceiptSender | None = None
        """None where nobody asks for receipts."""
        if settings.receipt_topic is not None:
            security = aiokafka_security(self.kafka)
            self._receipts = KafkaReceipts(self.kafka.bootstrap, settings.receipt_topic, security)
            self.receipts = ReceiptSender(self._receipts, hook)

    async def start(self) -> None:
        """Serve metrics, when a port for them is set. Raises InvalidSettings when it is taken."""
        port = self._settings.metrics_port
        if port:
            try:
                start_http_server(port, self._settings.host, metrics.WORKER)
            except OSError as error:
                raise InvalidSettings(f"SCOREKEEPER_METRICS_PORT: port {port} cannot be used: {error}") from error

    async def open_store(self, now: int) -> RedisCounters:
        """The counters of the active generation, which is created when there is none."""
        if self.catalog.current.revision < 0:
            with suppress(StoreUnavailable):
                await self.catalog.refresh()
        # What they bring is not known here; a rebuild knows it.
        loads = dict.fromkeys(self.catalog.current.projects, 0)
        generation = await self._parts.generations.ensure_active(folding_rules(self._settings, loads), now)
        return TimedCounters(self._parts.redis, generation)

    def outbox(self, store: RedisCounters) -> RedisOutbox | None:
        """Where the store leaves receipts; None where nobody asks for any."""
        return RedisOutbox(self._parts.redis, store.generation) if self.receipts is not None else None

    async def outboxes(self) -> list[RedisOutbox]:
        """Of every generation of this version: one that is not shown any more may have some left, and so may one that
        will be. What one of another version has left is sent by workers of that."""
        found = []
        for number in await self._parts.generations.numbers():
            with suppress(OtherScheme):
                found.append(RedisOutbox(self._parts.redis, await self._parts.generations.get(number)))
        return found

    async def shown_generation(self) -> int | None:
        """The number of the active generation; None when Redis was emptied."""
        return await self._parts.generations.active_number()

    async def incarnation_of(self, topic: str) -> str:
        """The broker's id of the topic. Raises NotFound, StoreUnavailable."""
        return (await asyncio.to_thread(self._descriptions.of, [topic]))[0].incarnation

    async def partitions_of(self, names: Sequence[str]) -> list[Position]:
        """All positions of the topics as they are now. Raises StoreUnavailable, also where one does not exist: workers
        wait for it."""
        try:
            found = await asyncio.to_thread(self._descriptions.of, names)
        except NotFound as missing:
            raise StoreUnavailable("kafka", f"{missing}: run `scorekeeper topics create`") from missing
        return [position for topic in found for position in topic.positions()]

    async def find_cut(self, position: Position, counted: int, witness: Witness) -> int | None:
        """See `find_cut`. Raises StoreUnavailable."""
        return await asyncio.to_thread(self._records.find_cut, position, counted, witness)

    async def first_offsets(self, positions: Sequence[Position]) -> Mapping[Position, int]:
        """Where the log begins now. Raises StoreUnavailable."""
        ends = await asyncio.to_thread(self._parts.topics.ends, positions)
        return {position: first for position, (first, _) in ends.items()}

    def observe(self, position: Position, outcome: Outcome, seconds: float) -> None:
        """Count what a batch came to, and trace it."""
        if self._tracer is not None:
            self._tracer.note_batch(position, outcome, seconds)
        metrics.BATCH_EVENTS.observe(outcome.received)
        for fate, number in (
            ("counted", outcome.counted),
            ("unmatched", outcome.unmatched),
            ("duplicate", outcome.duplicate),
        ):
            _events(fate).inc(number)
        for reason, number in (outcome.rejected or {}).items():
            _events("rejected").inc(number)
            metrics.REJECTED.labels(reason).inc(number)
        if outcome.seek_to is not None:
            metrics.REREADS.inc()
        warning = self._invalid_share.add(time.monotonic(), outcome.received, outcome.rejected or {})
        if warning is not None:
            log.warning("%s; see `scorekeeper dead-letters list`", warning)

    def show(self, positions: Mapping[Position, tuple[int, int, int]], *, is_waiting: bool) -> None:
        """Tell where the assigned positions are: (checkpoint, end of the log, complete up to in epoch ms). While there
        is much to be counted yet, this process gives way to others."""
        rows: dict[tuple[object, ...], tuple[int, int, int]] = {
            (position.topic, position.partition): row for position, row in positions.items()
        }
        lags = {where: max(0, end - checkpoint) for where, (checkpoint, end, _) in rows.items()}
        self._priority.adapt_to(sum(lags.values()))
        metrics.show_only(metrics.LAG, lags)
        metrics.show_only(metrics.CHECKPOINT, {where: checkpoint for where, (checkpoint, _, _) in rows.items()})
        metrics.show_only(metrics.FRESH, {where: fresh / 1000 for where, (_, _, fresh) in rows.items()})
        metrics.WAITING.set(is_waiting)
        metrics.CATALOG_CHECKED.set(self.catalog.known_at / 1000)

    async def close(self) -> None:
        if self._receipts is not None:
            await self._receipts.close()
        await asyncio.to_thread(self._descriptions.close)
        await asyncio.to_thread(self._records.close)
        await self._parts.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)


class _CountedLetters:
    """Implements tracking.DeadLetters, and counts them."""

    def __init__(self, inner: DeadLetterTopic) -> None:
        self._inner = inner

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        await self._inner.send(letters, position)
        metrics.DEAD_LETTERS.inc(len(letters))


def show_catalog(catalog: Catalog) -> None:
    """Tell by which definitions the worker counts. Earlier versions that do not compile are nothing to be mended."""
    metrics.CATALOG_REVISION.set(catalog.revision)
    metrics.LEFT_OUT.set(sum(one.is_in_force for one in catalog.left_out))


def worker_parts() -> WorkerParts:
    """The parts of this process's worker. Sets up logging. Raises InvalidSettings, EmbeddedUnavailable."""
    settings = load_settings()
    set_up(settings)
    return WorkerParts(settings)
