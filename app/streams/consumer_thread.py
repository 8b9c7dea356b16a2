"""The thread in which aiokafka runs: what is taken there, sought there and committed there.

Private seams of faust-streaming and aiokafka, as in `consumer.py`, and held by the same tests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.streams.doubts import FETCH_WAIT_MS, Doubts
from app.streams.leader_epochs import EpochWatch, LeaderEpochs
from app.streams.options import ISOLATION
from app.streams.read_ahead import LEAST_FETCH_BYTES, share_read_ahead
from app.streams.runs import read_runs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """What was taken from the fetcher at one moment."""

    runs: Mapping[Any, Sequence[Any]]
    """By aiokafka's partition; none is empty."""
    seeks: Mapping[TP, int]
    """The number of the last seek before that moment, of each partition; see BatchConsumer.seeks."""
    bare: Mapping[Any, tuple[int, int]] = field(default_factory=dict)
    """As of `Prefetched`: of runs' ends, and of partitions without a run."""
    epochs: Mapping[Any, LeaderEpochs] = field(default_factory=dict)
    """Of each partition whose records are the first of an answer of the brokers."""

    @property
    def topics(self) -> set[str]:
        return {tp.topic for tp in chain(self.runs, self.bare)}

    @property
    def number(self) -> int:
        """Of records."""
        return sum(map(len, self.runs.values()))


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """See the module."""

    doubts: Doubts
    epochs: EpochWatch
    _most_fetched: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seeks_done: dict[TP, int] = {}

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        consumer = super()._create_consumer(loop)
        # How old the knowledge that there is nothing new may get; Faust leaves no setting for it.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # It asks before anybody reads.
        self._most_fetched = consumer._max_partition_fetch_bytes
        consumer._max_partition_fetch_bytes = min(self._most_fetched, LEAST_FETCH_BYTES)
        # Faust does so in its own transactions alone.
        consumer._isolation_level = ISOLATION
        self.doubts = Doubts(consumer._client)
        self.epochs = EpochWatch(consumer._client)
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109  # Faust names it
        max_records: int | None = None,
    ) -> Any:
        prefetched = read_runs(consumer._fetcher)
        share_read_ahead(consumer._fetcher, self._most_fetched)
        runs = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # Nothing else runs in this thread between what was taken and this look: a seek is before both, or after both.
        bare, prefetched.bare = prefetched.bare, {}
        return Read(runs, dict(self._seeks_done), bare, self.epochs.take([*runs, *bare]))

    def seek_soon(self, tp: TP, offset: int, number: int) -> None:
        """Seek in the thread that owns the consumer; reads tell by the number whether they were before or after."""
        self._call_soon(self._seek_if_assigned, tp, offset, number)

    def stay_a_member(self) -> None:
        """Let aiokafka take this for a fetch that has just ended."""
        self._call_soon(self._note_a_fetch)

    def _call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        # Its loop is closed when the worker ends: nothing is read any more, and that is no crash.
        with suppress(RuntimeError):
            self.thread_loop.call_soon_threadsafe(call, *arguments)

    def _note_a_fetch(self) -> None:
        if self._consumer is not None:
            with self._consumer._subscription.fetch_context():
                pass

    def _seek_if_assigned(self, tp: TP, offset: int, number: int) -> None:
        self._seeks_done[tp] = number
        consumer = self._ensure_consumer()
        # A read may be waiting for records with what it has come across.
        read_runs(consumer._fetcher).bare.pop(tp, None)
        try:
            consumer.seek(driver.ensure_aiokafka_TP(tp), offset)
        except IllegalStateError:
            log.debug("%s was revoked before it was sought", tp)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # Faust's own ends the worker when the broker is away for a moment.
        assigned = self.assignment()
        marks = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            await self._ensure_consumer().commit(marks)
        except KafkaError as error:
            log.info("Kafka's committed offsets trail: %r", error)
            return False
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        # Faust's own also takes what was not committed, or not streamed one by one, for stuck, and says so as an error.
        # Here commits are a hint, and the watchdog says whether counting moves.
        self._verify_aiokafka_event_path(now, tp)
