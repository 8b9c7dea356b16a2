"""Runs of records as aiokafka unpacks them, without a Python object of its own for each.

aiokafka copies every record into a `ConsumerRecord`, one at a time through a generator: half of what reading costs. Its
own records have what counting asks for (`app.domain.folding.Record`): a run is a list of them, a Kafka batch at
once. Private seams of a pinned version, held by tests/streams/test_seams.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from aiokafka.consumer import fetcher as driver
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from app.domain.native import UNDATED

_CREATE_TIME: Final = 0
_LENGTH_AT, _LENGTH_FOLLOWS, _MAGIC = 8, 12, 16
"""Of each batch, and of each message of the old formats: where its length is told, where what has that length begins,
and where its format is told (Kafka protocol, "Record Batch" and "Message sets")."""
_NEWEST_FORMAT: Final = 2


def read_runs(fetcher: Any) -> Prefetched:
    """Make the fetcher hand on runs from now on. Call it in the fetcher's thread; may be repeated."""
    if type(fetcher._records) is not Prefetched:
        prefetched = Prefetched()
        for tp, result in fetcher._records.items():
            prefetched[tp] = result
        fetcher._records = prefetched
    return cast(Prefetched, fetcher._records)


class Prefetched(OrderedDict[Any, Any]):
    """What a fetcher has read ahead, by partition."""

    def __init__(self) -> None:
        super().__init__()
        self.bare: dict[Any, tuple[int, int]] = {}
        """By partition the offsets without a record, from and up to which, that the last run ended with, or was: of
        control records, of compaction. Whoever only looks at records would wait there for the next one."""

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult:
            result.getall = partial(self._take, tp, result, _Run(result))
        super().__setitem__(tp, result)

    def _take(self, tp: Any, result: Any, run: _Run, max_records: int | None = None) -> list[Any]:
        """As `_Run.take`. A broken batch becomes an error in this partition's place, which the fetcher raises when it
        has nothing to return: raised from here, it would take along what was taken of other partitions before."""
        reached = run.next_offset
        try:
            records = run.take(max_records)
        except CorruptRecordException as error:
            del result.getall
            self[tp] = FetchError(error=error, backoff=result._backoff)
            return []
        reached = records[-1].offset + 1 if records else reached
        self.bare.pop(tp, None)
        if reached < run.next_offset:
            self.bare[tp] = reached, run.next_offset
        return records


class _Run:
    """The records of one answer of the broker for one partition; `take` stands in for `FetchResult.getall`."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self._records = result._partition_records
        # Its own way to read, which is not taken here: a circle that would keep the broker's whole answer in memory.
        self._records._records_iterator = None
        self._wanted = self._reached = self._records.next_fetch_offset
        self._rest: list[Any] = []

    @property
    def next_offset(self) -> int:
        """All below was taken, or holds no record."""
        return int(self._records.next_fetch_offset)

    def take(self, max_records: int | None = None) -> list[Any]:
        """The next records, at most so many; empty when the partition was sought or revoked meanwhile."""
        result = self._result
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            return []
        run, self._rest = self._rest, []
        is_more = True
        while is_more and (max_records is None or len(run) < max_records):
            is_more = self._extend(run)
        if max_records is not None and len(run) > max_records:
            self._rest = run[max_records:]
            del run[max_records:]
        self._records.next_fetch_offset = self._rest[0].offset if self._rest else self._reached
        result._update_position()
        if not is_more and not self._rest:
            result._partition_records = None
            # A circle would keep the broker's whole answer in memory until the collector comes by.
            del result.getall
        return run

    def _extend(self, run: list[Any]) -> bool:
        """Append the records of the next Kafka batch; False when there is none.

        As `PartitionRecords._unpack_records` does it, but for the copies.
        """
        records = self._records
        if not records._records.has_next():
            return False
        batch = records._records.next_batch()
        if records._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {records._tp}")
        if not self._is_aborted(batch) and not batch.is_control_batch:
            begin = len(run)
            run.extend(batch)
            if len(run) > begin and run[begin].timestamp is None:
                run[begin:] = map(_undated, run[begin:])
            if len(run) > begin and run[begin].offset < self._wanted:
                # The broker answers with whole batches, also to who asks for the middle of one.
                run[begin:] = [record for record in run[begin:] if record.offset >= self._wanted]
        self._reached = batch.next_offset
        return True

    def _is_aborted(self, batch: Any) -> bool:
        records = self._records
        if records._isolation_level != READ_COMMITTED or batch.producer_id is None:
            return False
        records._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and records._contains_abort_marker(batch):
            records._aborted_producers.discard(batch.producer_id)
        return bool(batch.is_transactional and batch.producer_id in records._aborted_producers)


@dataclass(frozen=True, slots=True)
class _Undated:
    """A record of Kafka's first format, which has no timestamps, with what later ones say where there is none."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = UNDATED
    timestamp_type: int = _CREATE_TIME
    headers: tuple[tuple[str, bytes], ...] = ()


def _undated(record: Any) -> _Undated:
    return _Undated(record.offset, record.key, record.value)


def batches_of(answer: bytes) -> Any:
    """What aiokafka makes of an answer of the brokers; its own takes all for what comes first, and a log that began
    under an old format of Kafka's and went on under a newer one holds both in one answer."""
    is_plain = not answer or len(answer) <= _MAGIC or answer[_MAGIC] == _NEWEST_FORMAT
    return MemoryRecords(answer) if is_plain else _Stretches(answer)


class _Stretches:
    """As aiokafka's MemoryRecords, of stretches that are of one format each."""

    def __init__(self, answer: bytes) -> None:
        self._size, begin, at = len(answer), 0, 0
        self._left: list[Any] = []
        while at + _MAGIC < len(answer):
            if answer[at + _MAGIC] != answer[begin + _MAGIC]:
                self._left.append(MemoryRecords(answer[begin:at]))
                begin = at
            at += _LENGTH_FOLLOWS + int.from_bytes(answer[at + _LENGTH_AT : at + _LENGTH_FOLLOWS], "big")
        self._left.append(MemoryRecords(answer[begin:]))

    def size_in_bytes(self) -> int:
        return self._size

    def has_next(self) -> bool:
        while self._left and not self._left[0].has_next():
            del self._left[0]
        return bool(self._left)

    def next_batch(self) -> Any:
        return self._left[0].next_batch() if self.has_next() else None


driver.MemoryRecords = batches_of
