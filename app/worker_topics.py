"""Which positions and topics a worker's freshness waits for: all that are expected, and none that nobody reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from app.bootstrap import WorkerParts
from app.domain.increments import Position
from app.stores.redis import RedisCounters
from app.streams.partitions import TrackedPartitions

log = logging.getLogger(__name__)


def listed_topics(workers: Iterable[Mapping[str, Any]]) -> frozenset[str] | None:
    """What any of the workers, by their reports, is set to read; None where one does not say, since it is of another
    version."""
    told = [report.get("topics") for report in workers]
    return frozenset(topic for topics in told for topic in topics or ()) if told and all(told) else None


def other_topics(workers: Iterable[Mapping[str, Any]], ours: Collection[str]) -> frozenset[str]:
    """The lists of topics, in words, that workers that live are set to read and that are not `ours`."""
    told = {frozenset(report.get("topics") or ours) for report in workers if report["alive"]}
    return frozenset(", ".join(sorted(topics)) for topics in told - {frozenset(ours)})


class ExpectedTopics:
    """Of one worker. Coroutines that may be repeated; raise StoreUnavailable.

    `store`: of the opened generation, which may be another one after each wait.
    """

    def __init__(self, parts: WorkerParts, partitions: TrackedPartitions, store: Callable[[], RedisCounters]) -> None:
        self._parts = parts
        self._partitions = partitions
        self._store = store
        self._topics = parts.kafka.topics
        self._assigned: frozenset[Position] = frozenset()
        self._others: frozenset[str] = frozenset()

    async def expect_positions(self) -> None:
        """After each assignment, name all positions without which the counts are not complete."""
        assigned = frozenset(self._partitions.positions.values())
        if assigned and assigned != self._assigned:
            await self._store().expect_positions(await self._parts.partitions_of(self._topics))
            self._assigned = assigned

    async def look_for_unlisted_topics(self) -> None:
        """A topic that no worker is set to read any more would never be fresh again, and hold back all that is shown.

        Workers that were heard of within minutes have a say: while some are started with another setting, or one is
        silent for a moment, nothing is forgotten that somebody will count.
        """
        workers = (await self._parts.signals.workers()).values()
        self._warn_of_other_topics(other_topics(workers, self._topics))
        listed = listed_topics(workers)
        gone = await self._store().wait_only_for(listed) if listed else ()
        if gone:
            log.warning("no worker is set to read %s any more: freshness does not wait for it", ", ".join(gone))

    def _warn_of_other_topics(self, others: frozenset[str]) -> None:
        """Once for each list, soon after this worker started or the other one did."""
        new, self._others = others - self._others, others
        for topics in new:
            log.warning(
                "this worker is set to read %s, another one that lives %s: give all the same SCOREKEEPER_TOPIC, or "
                "freshness does not wait for a topic while none that names it is there",
                ", ".join(sorted(self._topics)),
                topics,
            )
