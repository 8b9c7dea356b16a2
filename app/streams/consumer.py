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
from contextlib import suppress
from typing import Any, Protocol, cast

from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from app.errors import StoreUnavailable
from app.streams.batches import RecordBatch
from app.streams.consumer_thread import ConsumerThread, Read
from app.streams.leader_epochs import LeaderEpochs

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.02
READ_SECONDS = 1.0
ERROR_PAUSE_SECONDS = 0.5
START_SECONDS = 5.0
STAY_SECONDS = 1.0
LAST_COMMIT_SECONDS = 2.0
LITTLE = 500
"""Records of one read; they are on their way to Redis before more is asked for."""
TURNS_TO_REDIS = 4
"""Of the event loop: to the agent, to its task, to Redis' client, to the socket."""


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

    async def heed(self, tp: TP, position: int, epochs: LeaderEpochs) -> int | None:
        """Called with what an answer of the brokers at `position` begins and ends with, which bears witness from then
        on. Where to go on instead, if the log was cut: it is not the one that was read up to there."""
        ...

    def applied(self, tp: TP) -> int | None:
        """The next offset whose effects are not in the counters; None when not assigned."""
        ...


class HasPartitions(Protocol):
    """The app, as this consumer sees it."""

    partitions: Partitions


NOTHING = Read({}, {})


class BatchConsumer(driver.Consumer):
    """See the module. `partitions` is set by the app before the consumer starts."""

    partitions: Partitions
    _thread: ConsumerThread

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
        # It may have waited for a store since it asked which topics these are.
        self._settled = {}
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
        """The log's end as of the last answer of the broker, or where the first transaction began that was open then;
        None before the first."""
        state = self._state(tp)
        return state.lso if state is not None else None

    def heard_at(self, tp: TP) -> int | None:
        """When the broker last answered for the partition; epoch ms. Up to then, `seen_end` was the end. None where a
        transaction was open: what lies in the log of it may count yet."""
        state = self._state(tp)
        return state.timestamp if state is not None and state.lso == state.highwater else None

    def _state(self, tp: TP) -> Any:
        subscription = self._thread._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        key = driver.ensure_aiokafka_TP(tp)
        return assignment.state_value(key) if assignment is not None and key in assignment.tps else None

    def seeks(self, tp: TP) -> int:
        """How often the partition was sought; also the number of the last seek."""
        return self._seeks.get(tp, 0)

    def _go_to(self, tp: TP, offset: int) -> None:
        self._position[tp] = offset
        self._seeks[tp] = self._seeks.get(tp, 0) + 1
        self._read_offset[tp] = offset
        self._thread.seek_soon(tp, offset, self._seeks[tp])

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

    def on_buffer_full(self, tp: TP) -> None:
        """Faust takes a partition out of reading then, also out of a read that is under way, which does not notice when
        it comes back. Nothing of that here: `_hand_on` waits as long as the stream's buffer is full."""

    async def _drain_messages(self, fetcher: Any) -> None:
        stopped = cast("asyncio.Event", self._stopped)
        fetcher_stopped = cast("asyncio.Event", fetcher._stopped)
        reading: asyncio.Task[Read] | None = None
        try:
            while not (stopped.is_set() or fetcher_stopped.is_set()):
                read = NOTHING
                try:
                    read = await (self._read() if reading is None else reading)
                except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                    await self._recover_positions(error)
                except self.consumer_stopped_errors:
                    if self.transport.app.should_stop:
                        return
                    raise
                except KafkaError as error:
                    log.warning("waiting for the broker: %r", error)
                    await self.sleep(ERROR_PAUSE_SECONDS)
                reading = None
                if read.number > LITTLE:
                    # Counting does not wait for what is read while it counts.
                    reading = self._begin_to_read()
                    await asyncio.sleep(0)
                    await self._hand_on_all(read)
                else:
                    # The thread that reads would take the interpreter's lock from what is to be counted at once.
                    await self._hand_on_all(read)
                    for _ in range(TURNS_TO_REDIS):
                        await asyncio.sleep(0)
        finally:
            if reading is not None:
                reading.cancel()

    def _begin_to_read(self) -> asyncio.Task[Read]:
        reading = asyncio.create_task(self._read())
        # Whoever is stopped does not wait for it, and its error is nobody's then.
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return reading

    async def _read(self) -> Read:
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        active = self._get_active_partitions()
        if not active:
            # Faust's own sleeps a whole second.
            await self.sleep(IDLE_SECONDS)
            return NOTHING
        read = cast(Read, await self._getmany(active_partitions=active, timeout=READ_SECONDS))
        if read.topics:
            await self._ask_for_another_topic(read.topics)
        return read

    async def _hand_on_all(self, read: Read) -> None:
        for key in {**read.runs, **read.bare}:
            tp, run = TP(key.topic, key.partition), read.runs.get(key, ())
            if not self.flow_active:
                # Dropped without a seek so far: the next read lacks this run, and must not confirm a gap by that.
                self._gap_seen.pop(tp, None)
            elif not self._is_of_now(read, tp) or not await self._heed(tp, read.epochs.get(key)):
                continue
            # That may have waited, and a rebalance sought meanwhile.
            elif self._is_of_now(read, tp):
                await self._hand_on(tp, run, read.bare.get(key))

    def _is_of_now(self, read: Read, tp: TP) -> bool:
        """What was taken before a seek is dropped, and bears no witness: after it, reading goes on from where it has
        to, of another topic maybe."""
        return read.seeks.get(tp) == self._seeks.get(tp)

    async def _heed(self, tp: TP, epochs: LeaderEpochs | None) -> bool:
        """False where the log was cut below what was read, or nobody can tell: it is read again then, from where it
        has to."""
        position = self._position.get(tp)
        if epochs is None or position is None:
            return True
        try:
            to = await self.partitions.heed(tp, position, epochs)
            if to is None:
                return True
            self._read_again_but(tp)
        except StoreUnavailable as unavailable:
            to = position
            await self._wait_to_tell(unavailable)
        self.rewind(tp, to)
        return False

    async def _ask_for_another_topic(self, topics: set[str]) -> None:
        """Seek where one of them was created again since this was last certain. Asked after each read."""
        doubts = self._thread.doubts.number
        doubtful = [topic for topic in topics if self._settled.get(topic) != doubts]
        if not doubtful:
            return
        for tp, offset in (await self.partitions.restarts(doubtful)).items():
            self._go_to(tp, offset)
        self._settled |= dict.fromkeys(doubtful, doubts)

    async def _hand_on(self, tp: TP, run: Sequence[Any], bare: tuple[int, int] | None = None) -> None:
        """`bare`: from and up to which offset the log holds no record, after those of the run."""
        position = self._position.get(tp)
        if position is None:
            return
        if run and run[0].offset < position:
            run = [record for record in run if record.offset >= position]
        first, next_offset = bare or (position, position)
        if run:
            first, next_offset = run[0].offset, max(run[-1].offset + 1, next_offset)
        if next_offset <= position:
            return
        if first > position and self._gap_seen.get(tp) != (position, first):
            # Records may have been dropped on the way here (a rebalance, a race with a seek): read once more. If the
            # log itself has no records in between (control records, compaction), it says the same again, at once.
            self._gap_seen[tp] = (position, first)
            self._go_to(tp, position)
            return
        self._gap_seen.pop(tp, None)
        batch = RecordBatch(tp, position, next_offset, run, self._seeks[tp])
        message = self._message(tp, batch)
        if self._has_room():
            # It is taken at once, and four tasks that watch over a wait would cost as much as all the rest of the way.
            await self.callback(message)
        else:
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
        if self._seeks[tp] == batch.seeks:
            self._position[tp] = next_offset

    def _has_room(self) -> bool:
        """Whether the streams take a message without a wait."""
        return self.app.flow_control.is_active() and not any(topic.queue.full() for topic in self.app.topics)

    def _message(self, tp: TP, batch: RecordBatch) -> ConsumerMessage:
        last: Any = batch.records[-1] if batch.records else None
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            batch.next_offset - 1,
            last.timestamp / 1000.0 if last else 0.0,
            last.timestamp_type if last else 0,
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
                    self._read_again_but(tp)
            except StoreUnavailable as unavailable:
                await self._wait_to_tell(unavailable)
            self.rewind(tp, position)  # or not at all: it may have been revoked meanwhile

    async def _wait_to_tell(self, unavailable: StoreUnavailable) -> None:
        log.warning("waiting to tell what was lost: %s", unavailable)
        await self.sleep(ERROR_PAUSE_SECONDS)

    def _read_again_but(self, lost: TP) -> None:
        """The others, from where the counters end: who asked where that is heard it of all of them, and nobody else
        will notice that counters went back, or that topics are others, where nothing is published any more."""
        for tp, position in list(self._position.items()):
            applied = self.partitions.applied(tp)
            if tp != lost and applied is not None and applied < position:
                self.rewind(tp, applied)

    # -- Kafka's committed offsets, as a hint

    async def on_stop(self) -> None:
        """Faust commits here, in a thread that may have ended before: after a crash it would wait for that for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMIT_SECONDS):
                await super().on_stop()

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

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer
