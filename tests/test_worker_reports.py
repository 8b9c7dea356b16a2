"""What workers tell of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from app.domain.increments import Position
from app.domain.witness import Witness
from app.worker_reports import Reports
from tests.builders import NOW, POSITION
from tests.rebuild_site import NewGeneration


class Told(NewGeneration):
    """What was reported last."""

    reported: Mapping[Position, Sequence[Witness]]

    generation = SimpleNamespace(identity="one")

    async def freshness(self) -> Mapping[str, tuple[int, int, int]]:
        return {position.name: (at, end, NOW) for position, (at, end) in self.fresh.items()}

    async def report_witnesses(self, witnesses: Mapping[Position, Sequence[Witness]]) -> None:
        self.reported = witnesses


class Reporting:
    """Reports of one position, of which the parts are as they are set."""

    def __init__(self) -> None:
        self.newest = self.heard_at = NOW
        self.end = 9
        tracker = SimpleNamespace(watermark=lambda _: self.newest, is_waiting=False, surprises=Counter())
        self.tracker = cast("Any", tracker)
        self.store: Any = Told()
        self.witness = Witness(3, 4, NOW)
        tp = TP(POSITION.topic, POSITION.partition)
        current = SimpleNamespace(revision=1)
        parts: Any = SimpleNamespace(
            show=lambda *_, **__: None,
            signals=SimpleNamespace(now=self._now, report_worker=self._report_worker),
            catalog=SimpleNamespace(current=current, known_at=0, is_out_of_touch=False),
            kafka=SimpleNamespace(topics=[tp.topic]),
        )
        partitions: Any = SimpleNamespace(
            positions={tp: POSITION}, witnesses={POSITION: [self.witness]}, applied=lambda _: 5, is_waiting=False
        )
        consumer: Any = SimpleNamespace(seen_end=lambda _: self.end, heard_at=lambda _: self.heard_at)
        self._reports = Reports(parts, self.tracker, partitions, lambda: consumer)

    async def _now(self) -> int:
        return NOW

    async def _report_worker(self, *_: object) -> None:
        pass

    async def complete_up_to(self) -> int:
        """As it is reported now."""
        await self._reports.report(self.store)
        told: int = self.store.fresh[POSITION][0]
        return told


@pytest.mark.parametrize(("newest", "expected"), [(NOW - 1, NOW - 1), (NOW + 86_400_000, NOW)])
async def test_behind_a_message_of_the_future_nothing_is_complete_up_to_there(newest: int, expected: int) -> None:
    """Ids that are older than that would be forgotten, and what is sent again would count again."""
    made = Reporting()
    made.newest = newest
    assert await made.complete_up_to() == expected
    assert (made.store.fresh, made.store.reported) == ({POSITION: (expected, 9)}, {POSITION: [made.witness]})


async def test_what_was_complete_stays_so_while_more_comes_in_unless_the_store_went_back() -> None:
    made = Reporting()
    made.newest, made.store.fresh = NOW - 500, {POSITION: (NOW - 400, 0)}
    assert await made.complete_up_to() == NOW - 400, "a rebuild has said so of its generation"
    made.newest = NOW - 300
    assert await made.complete_up_to() == NOW - 300
    made.newest = NOW - 350
    assert await made.complete_up_to() == NOW - 300
    made.tracker.surprises[POSITION] += 1
    assert await made.complete_up_to() == NOW - 350
    made.store.generation = SimpleNamespace(identity="two")
    made.newest, made.store.fresh = NOW - 600, {}
    assert await made.complete_up_to() == NOW - 600
