"""A Faust consumer that hands on whole runs of records, and that starts where the counters end.

Stock Faust spends some 110 microseconds on each message before user code runs; handing one Faust message per run of
records takes that away. These are private seams of faust-streaming, pinned in requirements/ and held by
tests/streams/test_seams.py: another version fails there, loudly, and not in production.

Kafka's committed offset is a hint for lag tools here. Positions come from `Partitions.starts` on every assignment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from app.errors import StoreUnavailable
from app.streams.batches import RecordBatch
from app.streams.doubts import FETCH_WAIT_MS, Doubts
from app.streams.runs import read_runs

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.02
ERROR_PAUSE_SECONDS = 0.5
START_SECONDS = 5.0
STAY_SECONDS = 1.0


class Partitions(Protocol):
    """Who knows where each partition has to be read from."""

    async def starts(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        """Called on each assignment, with all partitions that are assigned now. Waits until it knows."""
        ...

    async def restarts(self, topics: Iterable[str]) -> Mapping[TP, int]:
        """Where to read everything, if one of these topics was deleted and created again; else {}."""
        ...

    async def lost(self, tp: TP, position: int, earliest: int, end: int) -> int:
        """The log holds nothing at `position`: it begins at `earliest` and ends at `end`. Returns where to go on."""
        ...

    def applied(self, tp: TP) -> int | None:
        """The next offset whose effects are not in the counters; None when not assigned."""
        ...


class HasPartitions(Protocol):
    """The app, as this consumer sees it."""

    partitions: Partitions


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka runs."""

    doubts: Doubts

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        consumer = super()._create_consumer(loop)
        # How old the knowledge that there is nothing new may get; Faust leaves no setting for it.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        self.doubts = Doubts(consumer._client)
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109  # Faust names it
        max_records: int | None = None,
    ) -> Any:
        read_runs(consumer._fetcher)
        return await super()._fetch_records(consumer, active_partitions, timeout, max_records)

    def seek_soon(self, tp: TP, offset: int) -> None:
        """Seek in the thread that owns the consumer, before any read that is asked for after this call."""
        self.thread_loop.call_soon_threadsafe(self._seek_if_assigned, tp, offset)

    def stay_a_member(self) -> None:
        """Let aiokafka take this for a fetch that has just ended."""
        if not self.thread_loop.is_closed():
            self.thread_loop.call_soon_threadsafe(self._note_a_fetch)

    def _note_a_fetch(self) -> None:
        if self._consumer is not None:
            with self._consumer._subscription.fetch_context():
                pass

    def _seek_if_assigned(self, tp: TP, offset: int) -> None:
        try:
            self._ensure_consumer().seek(driver.ensure_aiokafka_TP(tp), offset)
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


class BatchConsumer(driver.Consumer):
    """See the module. `partitions` is set by the app before the consumer starts."""

    partitions: Partitions
    _thread: _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partitions = cast("HasPartitions", self.app).partitions
        self._position: dict[TP, int] = {}
        self._seeks: dict[TP, int] = {}
        self._gap_seen: dict[TP, tuple[int, int]] = {}
        self._settled: dict[str, int] = {}
        self._starting: asyncio.Task[Mapping[TP, int]] | None = None
        self._started_for = -1

    # -- positions

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Faust calls this after each rebalance: seek to the counters' checkpoints, not to Kafka's commits.

        A store may be away for long, and Faust's recovery would end for good if this took longer than a request may: so
        the search goes on by itself, and what is read before it has ended is dropped.
        """
        await asyncio.wait([self.start_from_checkpoints()], timeout=START_SECONDS)
        return {}

    def start_from_checkpoints(self) -> asyncio.Task[Mapping[TP, int]]:
        """Look up where each assigned partition has to be read from, and seek there; replaces an earlier search."""
        if self._starting is not None:
            self._starting.cancel()
        self._position = {}
        self._started_for = self.app.consumer_generation_id
        self._starting = asyncio.create_task(self._start_from_checkpoints())
        self._starting.add_done_callback(self._crash_on_defect)
        return self._starting

    async def _start_from_checkpoints(self) -> Mapping[TP, int]:
        starts = await self.partitions.starts(self._assigned())
        for tp, offset in starts.items():
            self._go_to(tp, offset)
        return dict(starts)

    def _crash_on_defect(self, search: asyncio.Task[Mapping[TP, int]]) -> None:
        error = None if search.cancelled() else search.exception()
        if error is not None:
            self.add_future(self.crash(error))

    def _assigned(self) -> list[TP]:
        return [TP(tp.topic, tp.partition) for tp in self.assignment()]

    def unstarted(self) -> list[TP]:
        """The assigned partitions of which it is not known, since the last rebalance, where to read."""
        is_known = self._started_for == self.app.consumer_generation_id
        return [tp for tp in self._assigned() if not is_known or tp not in self._position]

    def rewind(self, tp: TP, offset: int) -> None:
        """Read on from `offset`; batches that were read before are recognised by their `seeks`."""
        if tp in self._position:
            self._go_to(tp, offset)

    def seen_end(self, tp: TP) -> int | None:
        """The log's end as of the last answer of the broker; None before the first."""
        state = self._state(tp)
        return state.highwater if state is not None else None

    def heard_at(self, tp: TP) -> int | None:
        """When the broker last answered for the partition; epoch ms. Up to then, `seen_end` was the end."""
        state = self._state(tp)
        return state.timestamp if state is not None else None

    def _state(self, tp: TP) -> Any:
        subscription = self._thread._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        key = driver.ensure_aiokafka_TP(tp)
        return assignment.state_value(key) if assignment is not None and key in assignment.tps else None

    def seeks(self, tp: TP) -> int:
        return self._seeks.get(tp, 0)

    def _go_to(self, tp: TP, offset: int) -> None:
        self._position[tp] = offset
        self._seeks[tp] = self._seeks.get(tp, 0) + 1
        self._read_offset[tp] = offset
        self._thread.seek_soon(tp, offset)

    # -- reading

    @Service.task
    async def _stay_a_member(self) -> None:
        """While a store is away nothing is fetched. After `broker_max_poll_interval` without a fetch aiokafka leaves
        the group, and joins again only after the next fetch, which waits for the assignment: for ever. As long as this
        loop turns, the watchdog is the one to say that nothing moves.
        """
        while not self.should_stop:
            self._thread.stay_a_member()
            await self.sleep(STAY_SECONDS)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109  # Faust names it
        # Faust's own sleeps a whole second when every partition is paused by buffer pressure.
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        active = self._get_active_partitions()
        if not active:
            await self.sleep(IDLE_SECONDS)
            return {}, active
        return await self._getmany(active_partitions=active, timeout=timeout), active

    async def _drain_messages(self, fetcher: Any) -> None:
        stopped = cast("asyncio.Event", self._stopped)
        fetcher_stopped = cast("asyncio.Event", fetcher._stopped)
        while not (stopped.is_set() or fetcher_stopped.is_set()):
            try:
                records, _ = await self._wait_next_records(timeout=1.0)
            except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                await self._recover_positions(error)
                continue
            except self.consumer_stopped_errors:
                if self.transport.app.should_stop:
                    return
                raise
            except KafkaError as error:
                log.warning("waiting for the broker: %r", error)
                await self.sleep(ERROR_PAUSE_SECONDS)
                continue
            if records and await self._is_of_another_topic({tp.topic for tp in records}):
                continue
            group_generation = self.app.consumer_generation_id
            for tp, run in (records or {}).items():
                if not self.flow_active or self.app.consumer_generation_id != group_generation:
                    break
                await self._hand_on(TP(tp.topic, tp.partition), run)
            await asyncio.sleep(0)

    async def _is_of_another_topic(self, topics: set[str]) -> bool:
        """Whether one of them was created again since this was last certain; then reading goes on where it must."""
        doubts = self._thread.doubts.number
        doubtful = [topic for topic in topics if self._settled.get(topic) != doubts]
        if not doubtful:
            return False
        restarts = await self.partitions.restarts(doubtful)
        for tp, offset in restarts.items():
            self._go_to(tp, offset)
        self._settled |= dict.fromkeys(doubtful, doubts)
        return bool(restarts)

    async def _hand_on(self, tp: TP, run: Sequence[Any]) -> None:
        position = self._position.get(tp)
        if position is None:
            return
        run = [record for record in run if record.offset >= position] if run[0].offset < position else run
        if not run:
            return
        first = run[0].offset
        if first > position and self._gap_seen.get(tp) != (position, first):
            # Records may have been dropped on the way here (a rebalance, a race with a seek): read once more. If the
            # log itself has no records in between (control records, compaction), it says the same again, at once.
            self._gap_seen[tp] = (position, first)
            self._go_to(tp, position)
            return
        self._gap_seen.pop(tp, None)
        next_offset = run[-1].offset + 1
        batch = RecordBatch(tp, position, next_offset, run, self._seeks[tp])
        message = self._message(tp, run[-1], batch)
        await self.wait_first(self.callback(message), self.suspend_flow.wait())
        if self._seeks[tp] == batch.seeks:
            self._position[tp] = next_offset

    def _message(self, tp: TP, last: Any, batch: RecordBatch) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            cast(Any, batch),
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _recover_positions(self, error: Exception) -> None:
        """The log does not hold what we want to read next: never reset silently, or events would be
        skipped or counted twice without a word."""
        wanted = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        tps = [tp for tp in ([TP(tp.topic, tp.partition) for tp in wanted] or self._position) if tp in self._position]
        if not tps:
            await self.sleep(IDLE_SECONDS)
            return
        try:
            earliest = await self.earliest_offsets(*tps)
            ends = await self.highwaters(*tps)
        except KafkaError as broken:
            log.warning("waiting for the broker: %r", broken)
            await self.sleep(ERROR_PAUSE_SECONDS)
            return
        for tp in tps:
            position = self._position.get(tp)
            if position is None:
                continue  # revoked meanwhile
            try:
                if not earliest[tp] <= position <= ends[tp]:
                    position = await self.partitions.lost(tp, position, earliest[tp], ends[tp])
            except StoreUnavailable as unavailable:
                log.warning("waiting to tell what was lost: %s", unavailable)
                await self.sleep(ERROR_PAUSE_SECONDS)
            self.rewind(tp, position)  # or not at all: it may have been revoked meanwhile

    # -- Kafka's committed offsets, as a hint

    def ack(self, message: Any) -> bool:
        # Progress is the checkpoint, which the tracker moves; Faust only has to forget the message.
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        offsets: dict[TP, int] = {}
        for tp in tps:
            applied = self.partitions.applied(tp)
            if applied is not None and applied != self._committed_offset[tp]:
                offsets[tp] = applied
        return offsets

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer
