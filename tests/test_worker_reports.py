"""What workers tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

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

    async def report_witnesses(self, witnesses: Mapping[Position, Sequence[Witness]]) -> None:
        self.reported = witnesses


@pytest.mark.parametrize(("newest", "expected"), [(NOW - 1, NOW - 1), (NOW + 86_400_000, NOW)])
async def test_behind_a_message_of_the_future_nothing_is_complete_up_to_there(newest: int, expected: int) -> None:
    """Ids that are older than that would be forgotten, and what is sent again would count again."""

    async def now() -> int:
        return NOW

    async def report_worker(*_: object) -> None:
        pass

    tp = TP(POSITION.topic, POSITION.partition)
    current = SimpleNamespace(revision=1)
    parts: Any = SimpleNamespace(
        show=lambda *_, **__: None,
        signals=SimpleNamespace(now=now, report_worker=report_worker),
        catalog=SimpleNamespace(current=current, known_at=0, is_out_of_touch=False),
        kafka=SimpleNamespace(topics=[tp.topic]),
    )
    tracker: Any = SimpleNamespace(watermark=lambda _: newest, is_waiting=False)
    witness = Witness(3, 4, NOW)
    partitions: Any = SimpleNamespace(
        positions={tp: POSITION}, witnesses={POSITION: [witness]}, applied=lambda _: 5, is_waiting=False
    )
    consumer: Any = SimpleNamespace(seen_end=lambda _: 9, heard_at=lambda _: NOW)
    store: Any = Told()
    await Reports(parts, tracker, partitions, lambda: consumer).report(store)
    assert (store.fresh, store.reported) == ({POSITION: (expected, 9)}, {POSITION: [witness]})
