"""The Faust app of a worker, and the loops that run in it beside the agents. `faust -A app.worker` or `scorekeeper
worker`. What each loop does is in the modules that it names.

The only module that builds something when it is imported: Faust wants it so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from app import bootstrap
from app.domain.increments import Position
from app.domain.witness import Witness
from app.errors import GenerationMissing, StoreUnavailable
from app.filling import Filler, keep_filling
from app.refreshing import CatalogWatch
from app.rereading import received_at
from app.stores.redis import RedisCounters
from app.streams.consumer import BatchConsumer
from app.streams.faust_app import ScorekeeperApp, make_app
from app.streams.partitions import TrackedPartitions
from app.tracking import OpenedGeneration, Tracker
from app.worker_cleaning import Cleaning
from app.worker_recovery import Recovery
from app.worker_reports import Reports
from app.worker_topics import ExpectedTopics

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
LOOK_AT_TOPICS_SECONDS = 5
"""In one second of so many: what is asked then costs a connection, or a look at every worker."""
FILL_SECONDS = 0.25


class Worker:
    """One worker: its parts, wired, and its loops. Lives in the event loop of its Faust app."""

    store: RedisCounters
    """Of the opened generation: there once `tracker.opened` has answered."""

    def __init__(self, parts: bootstrap.WorkerParts) -> None:
        self.parts = parts
        self.topics = parts.kafka.topics
        self.tracker = Tracker(
            self._open_generation, parts.catalog, parts.dead_letters, receipts=parts.receipts, hook=parts.hook
        )
        self.partitions = TrackedPartitions(
            self.tracker,
            parts.incarnation_of,
            self._report_loss,
            partial(received_at, parts.log),
            parts.find_cut,
            self._told_witnesses,
            self._tell_witness,
        )
        self.app = self._make_app()
        self.reports = Reports(parts, self.tracker, self.partitions, lambda: self.consumer)
        self.recovery = Recovery(parts, self.tracker, self.partitions, lambda: self.consumer, lambda: self.store)
        self.expected = ExpectedTopics(parts, self.partitions, lambda: self.store)
        self.cleaning = Cleaning(parts.catalog, lambda: self.store)
        self.catalog_watch = CatalogWatch(parts.catalog, self.reports.report_alive)
        self.filler = Filler(self.tracker, parts.log, parts.first_offsets, lambda: parts.partitions_of(self.topics))
        self.exit_code = 0

    def _make_app(self) -> ScorekeeperApp:
        self.parts.data_dir.mkdir(parents=True, exist_ok=True)
        app = make_app(self.parts.kafka, self.parts.data_dir)
        app.partitions = self.partitions
        app.closing = self.stop
        return app

    @property
    def consumer(self) -> BatchConsumer:
        """Faust's consumer, which is ours."""
        return cast(BatchConsumer, self.app.consumer)

    # -- the store, for those who count into it

    async def _open_generation(self) -> OpenedGeneration:
        store = await self.parts.open_store(await self.parts.signals.now())
        self.store = store
        partitions = await self.parts.partitions_of(self.topics)
        # Told first, or other workers would take what is expected here for a topic that nobody reads.
        await self.reports.report_alive()
        await store.expect_positions(partitions)
        return OpenedGeneration(store, store.generation.rules, self.parts.outbox(store))

    async def _report_loss(self, loss: Mapping[str, object], is_lost: bool) -> None:
        await self.tracker.opened()
        await (self.store.report_loss(loss) if is_lost else self.store.take_back_loss(loss))

    async def _told_witnesses(self, positions: Sequence[Position]) -> Sequence[Mapping[str, Witness]]:
        await self.tracker.opened()
        return await self.store.witnesses(positions)

    async def _tell_witness(self, position: Position, stripe: int, known: Witness | None, witness: Witness) -> bool:
        await self.tracker.opened()
        return await self.store.tell_witness(position, stripe, known, witness)

    # -- the loops

    async def keep_reporting(self) -> None:
        """Report for ever; an unreachable Redis is logged and tried again."""
        while not self.app.should_stop:
            try:
                # Also where no partition was assigned yet, and with it no store asked for.
                await self.tracker.opened()
                await self.expected.expect_positions()
                await self.recovery.look_for_lost_writes()
                await self.reports.report(self.store)
                await self.recovery.follow_the_shown_generation()
                if int(time.monotonic()) % LOOK_AT_TOPICS_SECONDS == 0:
                    await self.recovery.look_for_recreated_topics()
                    await self.expected.look_for_unlisted_topics()
                if self.partitions.positions:
                    await self.cleaning.clean_up()
                await self.reports.report_landmarks()
            except GenerationMissing:
                await self.recovery.leave_generation()
            except StoreUnavailable as error:
                log.warning("cannot report: %s", error)
            self.recovery.heed_the_watchdog(self.reports.lag())
            await asyncio.sleep(REPORT_SECONDS)

    async def keep_filling(self) -> None:
        """Fill what is behind, for ever."""
        await keep_filling(self.filler, FILL_SECONDS, lambda: self.app.should_stop)

    async def keep_sending_receipts(self) -> None:
        """Send for ever what receipts were left."""
        sender = self.parts.receipts
        while sender is not None and not self.app.should_stop:
            own = {position.name for position in self.partitions.positions.values()}
            try:
                await sender.send_left(await self.parts.outboxes(), own)
            except StoreUnavailable as error:
                log.warning("receipts wait: %s", error)
            await asyncio.sleep(REPORT_SECONDS)

    async def keep_refreshing(self) -> None:
        """Look for a new revision of the catalog, for ever."""
        while not self.app.should_stop:
            await self.catalog_watch.look()
            await asyncio.sleep(self.catalog_watch.pause_seconds())

    async def follow_nudges(self) -> None:
        """Look for a new revision as soon as somebody says that there is one."""
        while not self.app.should_stop:
            async for _ in self.parts.signals.nudges():
                await self.catalog_watch.look()
            await asyncio.sleep(0.5)

    async def stop(self) -> None:
        """Leave no trace but the counters."""
        try:
            await self.parts.signals.forget_worker(self.reports.ident)
        except StoreUnavailable as error:
            log.info("not signed off: %s", error)
        await self.parts.close()


worker = Worker(bootstrap.worker_parts())
app = worker.app
