"""The newest events of a project, read back: a bounded part of the log, each message once, whoever else writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.domain.beginning import Span
from app.domain.increments import Position
from app.domain.landmark import Landmark
from app.domain.parsing import ParsingRules
from app.errors import DeletedMeanwhile, StoreUnavailable
from app.streams import recent
from app.streams.log import Log
from app.streams.recent import RecentEvents
from app.streams.topics import Topics
from app.tracking import Batch
from tests.builders import NOW, LogRecord, event

POSITIONS = [Position("events", partition, "id") for partition in range(2)]


@dataclass
class _Kept:
    """Stands for Topics and Log: partitions in memory, and which offsets were read."""

    log: dict[Position, list[LogRecord]] = field(default_factory=lambda: {position: [] for position in POSITIONS})
    read_offsets: list[tuple[Position, int]] = field(default_factory=list)
    landmarks: list[Landmark] = field(default_factory=list)
    is_redis_away: bool = False
    begins: dict[Position, int] = field(default_factory=dict)
    deletes_next: Mapping[Position, int] = field(default_factory=dict)
    """What the log begins with as soon as somebody has asked where it does."""
    being_read: int = 0
    """Readings that have begun and not ended."""
    was_begun: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, number: int, project: str = "shop") -> None:
        for _ in range(number):
            total = sum(map(len, self.log.values()))
            own = self.log[POSITIONS[total % 2]]
            self.landmarks.append(Landmark(POSITIONS[total % 2].name, len(own)))
            own.append(LogRecord(len(own), event(str(total), project=project), NOW + total))

    def describe(self, names: Sequence[str]) -> list[_Kept]:
        del names
        return [self]

    def positions(self) -> list[Position]:
        return POSITIONS

    def ends(self, positions: Sequence[Position]) -> Mapping[Position, tuple[int, int]]:
        found = {position: (self.begins.get(position, 0), len(self.log[position])) for position in positions}
        self.begins.update(self.deletes_next)
        return found

    async def read_spans(
        self, wanted: Mapping[Position, Sequence[Span]], *, fetch_bytes: int
    ) -> AsyncGenerator[Batch, None]:
        assert fetch_bytes
        self.being_read += 1
        self.was_begun.set()
        try:
            for position, spans in wanted.items():
                for start, end in spans:
                    first = self.begins.get(position, 0)
                    if start < first:
                        raise DeletedMeanwhile(position.name, start, first)
                    self.read_offsets += [(position, offset) for offset in range(start, end)]
                    yield Batch(position, start, end, self.log[position][start:end])
        finally:
            self.being_read -= 1

    async def landmarks_of(self, project: str) -> Sequence[Landmark]:
        if self.is_redis_away:
            raise StoreUnavailable("redis", "away")
        return self.landmarks if project == "shop" else []


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> _Kept:
    monkeypatch.setattr(recent, "_SECONDS", 600.0)
    monkeypatch.setattr(recent, "MOST_MESSAGES", 400)
    monkeypatch.setattr(recent, "_PART", 100)
    return _Kept()


def over(kept: _Kept) -> RecentEvents:
    rules = ParsingRules(max_age_ms=2**52, max_ahead_ms=2**52)
    return RecentEvents(cast("Topics", kept), kept.ends, cast("Log", kept), ["events"], rules, kept.landmarks_of)


def ids(found: Sequence[Any]) -> list[int]:
    return [int(one.id) for one in found]


async def test_the_newest_are_found_oldest_first_and_only_as_much_is_read_as_they_need(kept: _Kept) -> None:
    kept.add(1_000)
    assert ids(await over(kept).recent("shop", 150)) == list(range(850, 1_000))
    assert len(kept.read_offsets) == 200, "two parts of a hundred"


async def test_however_much_others_write_a_bounded_part_of_the_log_is_read(kept: _Kept) -> None:
    kept.add(500)
    kept.add(1_000, "busy neighbour")
    kept.landmarks.clear()
    reader = over(kept)
    assert await reader.recent("shop", 150) == []
    assert len(kept.read_offsets) == len(set(kept.read_offsets)) == 400
    assert await reader.recent("shop", 150) == []
    assert len(kept.read_offsets) == 400, "nothing is read again"


async def test_a_quiet_project_is_found_at_its_landmarks_beside_a_busy_one(kept: _Kept) -> None:
    kept.add(50, "busy neighbour")
    kept.landmarks.clear()
    kept.add(5)
    own = list(kept.landmarks)
    kept.add(1_000, "busy neighbour")
    kept.landmarks = [Landmark("events:0:another incarnation", 0), Landmark(POSITIONS[0].name, 10**9), *own, own[0]]
    reader = over(kept)
    assert ids(await reader.recent("shop", 150)) == list(range(50, 55))
    assert len(kept.read_offsets) == 405
    kept.add(2)
    assert ids(await reader.recent("shop", 150)) == [*range(50, 55), 1_055, 1_056]
    assert len(kept.read_offsets) == len(set(kept.read_offsets)) == 407, "nothing is read again"
    kept.add(1_000, "busy neighbour")
    assert ids(await reader.recent("shop", 150)) == [*range(50, 55), 1_055, 1_056], "nothing is told twice"


async def test_a_recreated_topic_is_read_anew(kept: _Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.add(10)
    reader = over(kept)
    assert len(await reader.recent("shop", 150)) == 10
    monkeypatch.setattr(recent, "_POSITIONS_SECONDS", 0.0)
    monkeypatch.setattr(kept, "positions", lambda: [Position("events", 0, "another id")])
    kept.log[Position("events", 0, "another id")] = [LogRecord(0, event("10"), NOW + 10)]
    assert ids(await reader.recent("shop", 150)) == list(range(11))


async def test_without_redis_the_end_of_the_log_is_all_that_is_found(kept: _Kept) -> None:
    kept.add(5)
    kept.add(1_000, "busy neighbour")
    kept.add(3)
    kept.is_redis_away = True
    assert ids(await over(kept).recent("shop", 150)) == [1_005, 1_006, 1_007]


async def test_the_next_one_reads_only_what_came_since(kept: _Kept) -> None:
    kept.add(300)
    reader = over(kept)
    assert ids(await reader.recent("shop", 200)) == list(range(100, 300))
    kept.read_offsets.clear()
    kept.add(10)
    assert ids(await reader.recent("shop", 200)) == list(range(110, 310))
    assert len(kept.read_offsets) == 10


async def test_when_the_time_is_over_what_was_read_is_the_answer_and_the_next_one_reaches_further_back(
    kept: _Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.add(1_000)
    monkeypatch.setattr(recent, "_SECONDS", 0.0)
    reader = over(kept)
    assert ids(await reader.recent("shop", 300)) == list(range(900, 1_000))
    monkeypatch.setattr(recent, "_SECONDS", 600.0)
    assert ids(await reader.recent("shop", 300)) == list(range(700, 1_000))
    assert len(kept.read_offsets) == len(set(kept.read_offsets)) == 300


async def test_when_the_time_is_over_and_there_is_nothing_the_landmarks_tell_where_to_look(
    kept: _Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.add(5)
    own = kept.landmarks[:3]
    kept.add(300, "busy neighbour")
    kept.landmarks = own
    monkeypatch.setattr(recent, "_SECONDS", 0.0)
    reader = over(kept)
    assert ids(await reader.recent("shop", 150)) == [0, 1, 2]
    monkeypatch.setattr(recent, "_SECONDS", 600.0)
    assert ids(await reader.recent("shop", 150)) == [0, 1, 2, 3, 4], "nothing is told twice"


async def test_where_retention_overtakes_the_reading_what_is_left_is_found(kept: _Kept) -> None:
    kept.add(300)
    reader = over(kept)
    kept.deletes_next = {POSITIONS[0]: 120, POSITIONS[1]: 140}
    assert ids(await reader.recent("shop", 200)) == [*range(240, 280, 2), *range(280, 300)]


async def test_what_was_read_of_a_log_that_was_cut_off_since_is_forgotten(kept: _Kept) -> None:
    kept.add(100)
    reader = over(kept)
    assert ids(await reader.recent("shop", 200)) == list(range(100))
    for own in kept.log.values():
        del own[20:]
    assert ids(await reader.recent("shop", 200)) == list(range(40))


async def test_who_is_given_up_in_the_middle_of_a_reading_leaves_no_connection(kept: _Kept) -> None:
    kept.add(300)
    asked = asyncio.create_task(over(kept).recent("shop", 150))
    await kept.was_begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert kept.read_offsets
    assert kept.being_read == 0
