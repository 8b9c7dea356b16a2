"""The Faust app of a worker, and what runs in it beside the agents. `faust -A app.worker` or `scorekeeper worker`.

The only module that builds something when it is imported: Faust wants it so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import cast

from faust.types import TP

from app import bootstrap
from app.domain.history import TRUSTED_MS
from app.domain.increments import Position
from app.domain.watchdog import Advice, Watchdog
from app.domain.witness import Witness
from app.errors import GenerationMissing, StoreUnavailable
from app.filling import Filler, keep_filling
from app.rereading import received_at
from app.stores.redis import RedisCounters
from app.streams.consumer import BatchConsumer
from app.streams.faust_app import ScorekeeperApp, make_app
from app.streams.partitions import TrackedPartitions
from app.tracking import Counting, Tracker
from app.worker_reports import Reports, listed_topics, other_topics

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
LOOK_AT_TOPICS_SECONDS = 5
"""In one second of so many: what is asked then costs a connection, or a look at every worker."""
REFRESH_SECONDS = 1.0
REFRESH_AHEAD_SECONDS = TRUSTED_MS / 1000 / 2
LOOK_FOR_RETURN_SECONDS = 0.05
FILL_SECONDS = 0.25
STUCK_SECONDS = 60.0
STUCK_EXIT_CODE = 3
CLEAN_UP_SECONDS = 3_600.0
FOREIGN_RECEIPTS_MS = 30_000
"""After this it is not another worker's business any more: partitions and topics come and go."""
UNSTARTED = (-1, 0)
"""Checkpoint and end, to the watchdog, of a partition of which neither is known: it lags, and does not move."""


class Worker:
    """One worker: its tracker, its partitions and its reports. Lives in the event loop of its Faust app."""

    store: RedisCounters
    """Of the opened generation: there once `tracker.counting` has answered."""

    def __init__(self, parts: bootstrap.WorkerParts) -> None:
        self.parts = parts
        self.topics = parts.kafka.topics
        self.tracker = Tracker(
            self._open_counting, parts.catalog, parts.dead_letters, receipts=parts.receipts, hook=parts.hook
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
        self.exit_code = 0
        self.watchdog = Watchdog(STUCK_SECONDS)
        self._clean_up_at = 0.0
        self._was_out_of_touch = False
        self._other_topics: frozenset[str] = frozenset()
        self.filler = Filler(self.tracker, parts.log, parts.first_offsets, lambda: parts.partitions_of(self.topics))
        self._assigned: frozenset[Position] = frozenset()

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

    # -- counting

    async def _open_counting(self) -> Counting:
        store = await self.parts.open_store(await self.parts.signals.now())
        self.store = store
        partitions = await self.parts.partitions_of(self.topics)
        # Told first, or other workers would take what is expected here for a topic that nobody reads.
        await self.reports.report_alive()
        await store.expect_positions(partitions)
        return Counting(store, store.generation.rules, self.parts.outbox(store))

    async def _report_loss(self, loss: Mapping[str, object], is_lost: bool) -> None:
        await self.tracker.counting()
        await (self.store.report_loss(loss) if is_lost else self.store.take_back_loss(loss))

    async def _told_witnesses(self) -> Sequence[Mapping[str, Witness]]:
        await self.tracker.counting()
        return await self.store.witnesses()

    async def _tell_witness(self, position: Position, stripe: int, known: Witness | None, witness: Witness) -> bool:
        await self.tracker.counting()
        return await self.store.tell_witness(position, stripe, known, witness)

    def rewind(self, tps: Iterable[TP]) -> None:
        """Read these partitions on from where the counters end."""
        for tp in tps:
            checkpoint = self.partitions.applied(tp)
            if checkpoint is not None:
                self.consumer.rewind(tp, checkpoint)

    # -- reports

    async def keep_reporting(self) -> None:
        """Report for ever; an unreachable Redis is logged and tried again."""
        while not self.app.should_stop:
            try:
                # Also where no partition was assigned yet, and with it no store asked for.
                await self.tracker.counting()
                await self._expect_positions()
                await self._look_for_lost_writes()
                await self.reports.report(self.store)
                await self._follow_the_shown_generation()
                if int(time.monotonic()) % LOOK_AT_TOPICS_SECONDS == 0:
                    await self._look_for_recreated_topics()
                    await self._look_for_unlisted_topics()
                await self._clean_up()
                await self.reports.report_landmarks()
            except GenerationMissing:
                self.tracker.forget()
                await self._assign_again()
            except StoreUnavailable as error:
                log.warning("cannot report: %s", error)
            self._heed_the_watchdog()
            await asyncio.sleep(REPORT_SECONDS)

    def _heed_the_watchdog(self) -> None:
        is_waiting = self.tracker.is_waiting or self.partitions.is_waiting
        unstarted: dict[TP, tuple[int, int]] = dict.fromkeys(self.consumer.unstarted(), UNSTARTED)
        advice = self.watchdog.look(time.monotonic(), unstarted | self.reports.lag(), is_waiting=is_waiting)
        if advice is Advice.READ_AGAIN and unstarted:
            log.error("where to read %d partitions is still not known: looking it up again", len(unstarted))
            self.consumer.start_from_checkpoints()
        elif advice is Advice.READ_AGAIN:
            log.error("the checkpoints do not move although there is lag: reading again from there")
            self.rewind(list(self.partitions.positions))
        elif advice is Advice.END:
            log.critical("the checkpoints still do not move: this worker ends, its supervisor may start another")
            os._exit(STUCK_EXIT_CODE)

    async def _clean_up(self) -> None:
        """Once an hour, drop what nobody looks into any more: old deduplication memory, and backfills that ended."""
        if time.monotonic() < self._clean_up_at or not self.partitions.positions:
            return
        self._clean_up_at = time.monotonic() + CLEAN_UP_SECONDS
        fresh = await self.store.freshness()
        complete_up_to = min((at for at, _, _ in fresh.values()), default=0)
        dropped = await self.store.forget_ids_before(complete_up_to)
        if dropped:
            log.info("dropped %d sets of event ids that are older than the deduplication window", dropped)
        await self._drop_ended_backfills()

    async def _drop_ended_backfills(self) -> None:
        """Names first, definitions then: one that begins in between is not taken for one that ended."""
        names = await self.store.backfill_names()
        await self.parts.catalog.refresh()
        for name in names - self.parts.catalog.current.backfills.keys():
            await self.store.drop_backfill(name)
            log.info("dropped the backfill %s, which ended", name)

    async def keep_filling(self) -> None:
        """Fill what is behind, for ever."""
        await keep_filling(self.filler, FILL_SECONDS, lambda: self.app.should_stop)

    async def _expect_positions(self) -> None:
        """After each assignment, name all positions without which the counts are not complete."""
        assigned = frozenset(self.partitions.positions.values())
        if assigned and assigned != self._assigned:
            await self.store.expect_positions(await self.parts.partitions_of(self.topics))
            self._assigned = assigned

    async def _follow_the_shown_generation(self) -> None:
        """After a switch, count into the generation that is shown now, from its own checkpoints.

        Raises GenerationMissing where none is: Redis may be emptied while a generation is made, and keep what was
        written after that. Its record alone would let this worker count for ever what nobody is shown.
        """
        shown = await self.parts.shown_generation()
        if shown is None:
            raise GenerationMissing
        if self.partitions.positions and shown != self.store.generation.number:
            log.info("generation %d is shown now: counting into it", shown)
            self.tracker.forget()
            await self._assign_again()

    async def _assign_again(self) -> None:
        await self.partitions.starts_again()
        self.rewind(list(self.partitions.positions))

    async def _look_for_lost_writes(self) -> None:
        """Before anything is reported as complete: a Redis that went back took counters along."""
        if await self.tracker.has_gone_back():
            log.warning("Redis went back to an earlier state: counting again what it lost")
            await self._assign_again()

    async def _look_for_recreated_topics(self) -> None:
        if await self.partitions.restarts(self.topics):
            self.rewind(list(self.partitions.positions))

    async def _look_for_unlisted_topics(self) -> None:
        """A topic that no worker is set to read any more would never be fresh again, and hold back all that is shown.

        Workers that were heard of within minutes have a say: while some are started with another setting, or one is
        silent for a moment, nothing is forgotten that somebody will count.
        """
        workers = (await self.parts.signals.workers()).values()
        self._warn_of_other_topics(other_topics(workers, self.topics))
        listed = listed_topics(workers)
        gone = await self.store.wait_only_for(listed) if listed else ()
        if gone:
            log.warning("no worker is set to read %s any more: freshness does not wait for it", ", ".join(gone))

    def _warn_of_other_topics(self, others: frozenset[str]) -> None:
        """Once for each list, soon after this worker started or the other one did."""
        new, self._other_topics = others - self._other_topics, others
        for topics in new:
            log.warning(
                "this worker is set to read %s, another one that lives %s: give all the same SCOREKEEPER_TOPIC, or "
                "freshness does not wait for a topic while none that names it is there",
                ", ".join(sorted(self.topics)),
                topics,
            )

    async def keep_sending_receipts(self) -> None:
        """Send what a worker that died left of our partitions, and what nobody else seems to send."""
        sender = self.parts.receipts
        while sender is not None and not self.app.should_stop:
            own = {position.name for position in self.partitions.positions.values()}
            try:
                for outbox in await self.parts.outboxes():
                    for name in await outbox.positions_with_receipts():
                        if name in own or await outbox.oldest_age_ms(name) > FOREIGN_RECEIPTS_MS:
                            await sender.send(outbox, name)
            except StoreUnavailable as error:
                log.warning("receipts wait: %s", error)
            await asyncio.sleep(REPORT_SECONDS)

    # -- the catalog

    async def refresh_catalog(self) -> None:
        """Load a new revision if there is one, and say so at once; so too that the database is away, or is back."""
        catalog = self.parts.catalog
        before = catalog.current.revision, self._was_out_of_touch
        try:
            await catalog.refresh()
        except StoreUnavailable as error:
            log.warning("the catalog stays at revision %d: %s", catalog.current.revision, error)
        if (catalog.current.revision, catalog.is_out_of_touch) != before:
            self._was_out_of_touch = catalog.is_out_of_touch
            try:
                await self.reports.report_alive()
            except StoreUnavailable as error:
                log.warning("cannot report: %s", error)

    async def keep_refreshing(self) -> None:
        """Look for a new revision every second, ahead of the records while new ones come; when the database is away,
        for its return as fast as may be."""
        while not self.app.should_stop:
            await self.refresh_catalog()
            await asyncio.sleep(self._pause_before_refreshing())

    def _pause_before_refreshing(self) -> float:
        if self.parts.catalog.is_out_of_touch:
            return LOOK_FOR_RETURN_SECONDS
        return REFRESH_AHEAD_SECONDS if self.parts.catalog.is_pressing else REFRESH_SECONDS

    async def follow_nudges(self) -> None:
        """Look for a new revision as soon as somebody says that there is one."""
        while not self.app.should_stop:
            async for _ in self.parts.signals.nudges():
                await self.refresh_catalog()
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
