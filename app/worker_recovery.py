"""When a worker reads again, and from where: what it counts into was lost, went back or is not shown any more, a topic
was made anew, or nothing moves. Always from where the counters end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping

from faust.types import TP

from app.bootstrap import WorkerParts
from app.domain.watchdog import Advice, Watchdog
from app.errors import GenerationMissing
from app.stores.redis import RedisCounters
from app.streams.consumer import BatchConsumer
from app.streams.partitions import TrackedPartitions
from app.tracking import Tracker

log = logging.getLogger(__name__)

STUCK_SECONDS = 60.0
STUCK_EXIT_CODE = 3
UNSTARTED = (-1, 0)
"""Checkpoint and end, to the watchdog, of a partition of which neither is known: it lags, and does not move."""


class Recovery:
    """Of one worker. What is awaited may be repeated; raises StoreUnavailable, GenerationMissing.

    `store`: of the opened generation, which may be another one after each wait.
    """

    def __init__(
        self,
        parts: WorkerParts,
        tracker: Tracker,
        partitions: TrackedPartitions,
        consumer: Callable[[], BatchConsumer],
        store: Callable[[], RedisCounters],
    ) -> None:
        self._parts = parts
        self._tracker = tracker
        self._partitions = partitions
        self._consumer = consumer
        self._store = store
        self._watchdog = Watchdog(STUCK_SECONDS)

    def rewind(self, tps: Iterable[TP]) -> None:
        """Read these partitions on from where the counters end."""
        for tp in tps:
            checkpoint = self._partitions.applied(tp)
            if checkpoint is not None:
                self._consumer().rewind(tp, checkpoint)

    async def leave_generation(self) -> None:
        """Count into the generation that is shown now, from its own checkpoints."""
        self._tracker.forget()
        await self._assign_again()

    async def follow_the_shown_generation(self) -> None:
        """After a switch, count into the generation that is shown now.

        Raises GenerationMissing where none is: Redis may be emptied while a generation is made, and keep what was
        written after that. Its record alone would let this worker count for ever what nobody is shown.
        """
        shown = await self._parts.shown_generation()
        if shown is None:
            raise GenerationMissing
        if self._partitions.positions and shown != self._store().generation.number:
            log.info("generation %d is shown now: counting into it", shown)
            await self.leave_generation()

    async def look_for_lost_writes(self) -> None:
        """Before anything is reported as complete: a Redis that went back took counters along."""
        if await self._tracker.has_gone_back():
            log.warning("Redis went back to an earlier state: counting again what it lost")
            await self._assign_again()

    async def look_for_recreated_topics(self) -> None:
        """A topic that was deleted and created again is read from its start."""
        if await self._partitions.restarts(self._parts.kafka.topics):
            self._rewind_all()

    def heed_the_watchdog(self, lag: Mapping[TP, tuple[int, int]]) -> None:
        """Read again where nothing moves, and end this process where that did not help. `lag`: see Reports."""
        is_waiting = self._tracker.is_waiting or self._partitions.is_waiting
        unstarted: dict[TP, tuple[int, int]] = dict.fromkeys(self._consumer().unstarted(), UNSTARTED)
        advice = self._watchdog.look(time.monotonic(), {**unstarted, **lag}, is_waiting=is_waiting)
        if advice is Advice.READ_AGAIN and unstarted:
            log.error("where to read %d partitions is still not known: looking it up again", len(unstarted))
            self._consumer().start_from_checkpoints()
        elif advice is Advice.READ_AGAIN:
            log.error("the checkpoints do not move although there is lag: reading again from there")
            self._rewind_all()
        elif advice is Advice.END:
            log.critical("the checkpoints still do not move: this worker ends, its supervisor may start another")
            os._exit(STUCK_EXIT_CODE)

    async def _assign_again(self) -> None:
        await self._partitions.starts_again()
        self._rewind_all()

    def _rewind_all(self) -> None:
        self.rewind(list(self._partitions.positions))
