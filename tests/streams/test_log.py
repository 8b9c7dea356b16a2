"""Reading the log again: silence of the brokers is not taken for a log that holds nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from aiokafka import TopicPartition

from app.domain.increments import Position
from app.errors import EndsBefore, StoreUnavailable
from app.streams import log
from app.streams.log import EMPTY_POLLS, Log
from tests.builders import LogRecord

AWAY = None
NOTHING: list[LogRecord] = []
POSITION = Position("events", 0, "topic-id")
PARTITION = TopicPartition("events", 0)

Answer: TypeAlias = list[LogRecord] | int | None
"""What a poll gives; where it gets to when nothing on the way was committed; None when the broker does not answer."""


def records(*offsets: int) -> list[LogRecord]:
    return [LogRecord(offset, b"{}") for offset in offsets]


def consumer_of(polls: Sequence[Answer], log_end: int = 6) -> type:
    """An aiokafka consumer to whose polls the broker answers so, of a log that ends there; from then on it is away."""

    class Consumer:
        def __init__(self, **_: object) -> None:
            self._fetcher = SimpleNamespace(_records=OrderedDict[Any, Any]())
            self._polls = list(polls)
            self._heard_at: int | None = None
            self._position = 0

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        def assign(self, _: object) -> None: ...

        def seek(self, _: object, offset: int) -> None:
            self._position = offset

        async def position(self, _: object) -> int:
            return self._position

        def last_poll_timestamp(self, _: object) -> int | None:
            return self._heard_at

        def pause(self, _: object) -> None: ...

        def last_stable_offset(self, _: object) -> int:
            return log_end

        async def getmany(self, **_: object) -> dict[Any, list[LogRecord]]:
            answer = self._polls.pop(0) if self._polls else AWAY
            if answer is None:
                return {}
            self._heard_at = (self._heard_at or 0) + 1
            found = [] if isinstance(answer, int) else answer
            self._position = _after(answer, self._position)
            return {PARTITION: found} if found else {}

    return Consumer


def _after(answer: list[LogRecord] | int, position: int) -> int:
    if isinstance(answer, int):
        return answer
    return answer[-1].offset + 1 if answer else position


async def test_a_log_that_ends_before_what_is_read_is_no_log_that_holds_nothing_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polls = [records(0, 2), *[NOTHING] * EMPTY_POLLS]
    with pytest.raises(EndsBefore, match="events/0 was cut off at offset 5 while it was read from 3 on"):
        await read(monkeypatch, polls, 6, log_end=5)


async def read(
    monkeypatch: pytest.MonkeyPatch, polls: Sequence[Answer], end: int, log_end: int = 6
) -> list[tuple[int, int, list[int]]]:
    monkeypatch.setattr(log, "AIOKafkaConsumer", consumer_of(polls, log_end))
    batches = [batch async for batch in Log("nowhere:1").read(POSITION, 0, end)]
    return [(batch.start, batch.next_offset, [record.offset for record in batch.records]) for batch in batches]


async def test_brokers_that_are_away_for_a_while_cost_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [records(0, 1), *[AWAY] * (2 * EMPTY_POLLS), records(2, 3)]
    assert await read(monkeypatch, polls, 4) == [(0, 2, [0, 1]), (2, 4, [2, 3])]


async def test_brokers_that_stay_away_are_no_end_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreUnavailable, match="events/0"):
        await read(monkeypatch, [records(0, 1)], 4)


async def test_what_the_broker_says_holds_no_record_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [records(0, 2), *[NOTHING] * EMPTY_POLLS]
    assert await read(monkeypatch, polls, 6) == [(0, 3, [0, 2]), (3, 6, [])]


async def test_a_long_stretch_of_which_nothing_was_committed_is_no_end_of_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polls = [records(0, 1), *range(2, 2 + 2 * EMPTY_POLLS), records(9)]
    assert await read(monkeypatch, polls, 10, log_end=10) == [(0, 2, [0, 1]), (2, 10, [9])]


async def test_records_beyond_the_end_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await read(monkeypatch, [records(0, 1, 2, 3)], 2) == [(0, 2, [0, 1])]


async def test_what_is_left_of_a_partition_that_is_read_is_no_silence_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done, late = TopicPartition("events", 1), PARTITION
    polls = [{done: records(0)}, *[{done: records(1)}] * (2 * log.SILENT_POLLS), {late: records(0, 1)}]

    class Consumer(consumer_of([])):  # type: ignore[misc]  # made anew for each test
        async def getmany(self, **_: object) -> dict[TopicPartition, list[LogRecord]]:
            return polls.pop(0)

    monkeypatch.setattr(log, "AIOKafkaConsumer", Consumer)
    wanted = {POSITION: [(0, 2)], Position("events", 1, "topic-id"): [(0, 1)]}
    batches = [batch async for batch in Log("nowhere:1").read_spans(wanted)]
    assert [(batch.position.partition, batch.start, batch.next_offset) for batch in batches] == [(1, 0, 1), (0, 0, 2)]
