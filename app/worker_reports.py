"""What a worker tells of itself: up to when its partitions are complete, that it lives, how fast it is."""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from itertools import islice

from faust.types import TP

from app.bootstrap import WorkerParts
from app.domain.increments import Position
from app.domain.landmark import MOST_LANDMARKS, Landmark
from app.stores.redis import RedisCounters
from app.streams.consumer import BatchConsumer
from app.streams.partitions import TrackedPartitions
from app.tracking import Outcome, Tracker

_RATE_OVER = 20
"""Reports: about ten seconds."""
_PROJECTS_A_REPORT = 100
"""Whose landmarks are told at once: of very many projects the others wait their turn."""


class Reports:
    """Of one worker; they raise StoreUnavailable, and may be repeated."""

    def __init__(
        self,
        parts: WorkerParts,
        tracker: Tracker,
        partitions: TrackedPartitions,
        consumer: Callable[[], BatchConsumer],
    ) -> None:
        self.ident = f"{socket.gethostname()}:{os.getpid()}"
        self._parts = parts
        self._tracker = tracker
        self._partitions = partitions
        self._consumer = consumer
        self._started_at = int(time.time() * 1000)
        self._counted = 0
        self._received = 0
        self._recent: list[tuple[float, int]] = []
        self._told_of = ""
        """The generation of `_complete`."""
        self._complete: dict[Position, tuple[int, int]] = {}
        """How often the store had surprised the tracker, and up to when it was complete then."""
        self._landmarks: defaultdict[str, deque[Landmark]] = defaultdict(lambda: deque(maxlen=MOST_LANDMARKS))

    def observe(self, position: Position, outcome: Outcome, seconds: float) -> None:
        """Remember what a batch came to, and how long it took."""
        self._counted += outcome.counted
        self._received += outcome.received
        name = position.name
        for project, offset in outcome.landmarks.items():
            self._landmarks[project].append(Landmark(name, offset))
        self._parts.observe(position, outcome, seconds)

    def lag(self) -> dict[TP, tuple[int, int]]:
        """Per assigned partition: (checkpoint, the log's end as the consumer last saw it); unknown ends left out."""
        found: dict[TP, tuple[int, int]] = {}
        for tp in self._partitions.positions:
            checkpoint, end = self._partitions.applied(tp), self._consumer().seen_end(tp)
            if checkpoint is not None and end is not None:
                found[tp] = (checkpoint, end)
        return found

    async def report(self, store: RedisCounters) -> None:
        """Tell up to when each partition is complete in `store`, and that this worker lives."""
        here, begun = int(time.time() * 1000), time.monotonic()
        known: dict[Position, tuple[int, int, int]] = {}
        quiet: dict[Position, int] = {}
        for tp, (checkpoint, end) in self.lag().items():
            position = self._partitions.positions[tp]
            heard_at = self._consumer().heard_at(tp)
            complete_up_to = self._tracker.watermark(position)
            if checkpoint >= end and heard_at is not None:
                complete_up_to = heard_at
                quiet[position] = max(0, here - heard_at)
            known[position] = (checkpoint, end, complete_up_to)
        self._parts.show(known, is_waiting=self._tracker.is_waiting or self._partitions.is_waiting)
        now = await self._parts.signals.now()
        then = now - int((time.monotonic() - begun) * 1000)
        await self._hear_what_is_told(store, known.keys())
        # This machine's clock measures how long ago a broker answered, no more: it may be wrong, or be set. And
        # a message that says to be of the future makes nothing complete up to there.
        fresh = {
            position: (self._keep(position, then - quiet[position] if position in quiet else min(up_to, now)), end)
            for position, (_, end, up_to) in known.items()
        }
        fresh = {position: told for position, told in fresh.items() if told[0]}
        if fresh:
            await store.report_freshness(fresh, now)
        # Not all up to there may be counted yet, which does no harm: they are of the log.
        await store.report_witnesses(self._partitions.witnesses)
        await self.report_alive()

    async def _hear_what_is_told(self, store: RedisCounters, positions: Collection[Position]) -> None:
        """Of positions that are reported for the first time, in this generation or since they were assigned."""
        known = self._complete if store.generation.identity == self._told_of else {}
        self._told_of = store.generation.identity
        self._complete = {position: known[position] for position in positions if position in known}
        if len(self._complete) < len(positions):
            told = await store.freshness()
            for position in positions:
                at, _, _ = told.get(position.name, (0, 0, 0))
                self._complete.setdefault(position, (self._tracker.surprises[position], at))

    def _keep(self, position: Position, up_to: int) -> int:
        """Up to when it is complete: what was so stays so while more comes in, unless the store went back."""
        surprises, before = self._complete[position]
        kept = max(up_to, before) if surprises == self._tracker.surprises[position] else up_to
        self._complete[position] = self._tracker.surprises[position], kept
        return kept

    async def report_alive(self) -> None:
        """Tell which revision this worker runs."""
        self._recent = [*self._recent[-_RATE_OVER:], (time.monotonic(), self._received)]
        (then, before), (last, after) = self._recent[0], self._recent[-1]
        catalog = self._parts.catalog
        report = {
            "revision": catalog.current.revision,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "startedAt": self._started_at,
            "received": self._received,
            "counted": self._counted,
            "rate": round((after - before) / (last - then), 1) if last > then else 0.0,
            "partitions": sorted(f"{tp.topic}/{tp.partition}" for tp in self._partitions.positions),
            "catalogAsOf": catalog.known_at,
            "isOutOfTouch": catalog.is_out_of_touch,
            "topics": sorted(self._parts.kafka.topics),
        }
        await self._parts.signals.report_worker(self.ident, report)

    async def report_landmarks(self) -> None:
        """Tell where events of some projects lie, those that wait longest. What fails is not told again."""
        told = {project: self._landmarks.pop(project) for project in list(islice(self._landmarks, _PROJECTS_A_REPORT))}
        await self._parts.landmarks.add(told)
