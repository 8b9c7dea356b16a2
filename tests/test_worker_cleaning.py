"""What a worker drops, and what it must not take for something that ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app import worker_cleaning
from app.worker_cleaning import Cleaning


class Swept:
    """A store and a catalog; right after either is asked, another backfill begins."""

    def __init__(self) -> None:
        self.named = {"ended", "present"}
        self.defined = {"present"}
        self.current = SimpleNamespace(backfills={})
        self.dropped: list[str] = []
        self.forgotten_before: list[int] = []

    async def freshness(self) -> dict[str, tuple[int, int, int]]:
        return {"a": (50, 1, 1), "b": (40, 1, 1)}

    async def forget_ids_before(self, moment: int) -> int:
        self.forgotten_before.append(moment)
        return 0

    async def backfill_names(self) -> set[str]:
        names = set(self.named)
        self._begin()
        return names

    async def refresh(self) -> None:
        self.current.backfills = dict.fromkeys(self.defined)
        self._begin()

    def _begin(self) -> None:
        self.named.add("begun")
        self.defined.add("begun")

    async def drop_backfill(self, name: str) -> None:
        self.named.discard(name)
        self.dropped.append(name)


async def test_backfills_that_ended_are_dropped_and_none_that_begins_meanwhile() -> None:
    swept: Any = Swept()
    cleaning = Cleaning(swept, lambda: swept)
    await cleaning.clean_up()
    assert swept.dropped == ["ended"]
    assert swept.forgotten_before == [40], "what any partition may still bring is remembered"


async def test_it_is_cleaned_up_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(worker_cleaning, "time", SimpleNamespace(monotonic=lambda: clock.now))
    swept: Any = Swept()
    cleaning = Cleaning(swept, lambda: swept)
    for later in (0.0, 3_599.0, 1.0, 1.0):
        clock.now += later
        await cleaning.clean_up()
    assert len(swept.forgotten_before) == 2
