"""Corrections: a counted event is taken back, or restated, in its own period and once; and nothing else ever is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.domain.beginning import WHOLE_LOG, Spans
from app.domain.catalog import Catalog
from app.domain.fields import exact_value
from app.proving import FixedCatalog, verify
from app.recounting import Counters
from app.stores.memory import MemoryCounters
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import NOW, POSITION, RULES, LogRecord, batches, catalog, conversion_goal, event, goal
from tests.faults.in_memory import Letters

DAY_MS = 86_400_000
YESTERDAY = NOW - DAY_MS
DEFINITIONS = catalog(
    conversion_goal(conditions={"plan": "pro"}, valueProperty="amount"),
    goal("sum", aggregation="sum", period="day"),
    goal("count"),
)
DATA = {"plan": "pro", "amount": "10.5"}


def bought(ident: str = "e1", at: int = YESTERDAY, **data: object) -> bytes:
    return event(ident, timestamp=at, data={**DATA, **data})


def retract(corrects: str = "e1", ident: str = "r1", at: int = YESTERDAY, **data: object) -> bytes:
    return event(ident, "$retract", eventType="purchase", retracts=corrects, timestamp=at, data={**DATA, **data})


def restate(amount: str, was: str = "10.5", ident: str = "s1", **data: object) -> bytes:
    fields: dict[str, Any] = {
        "eventType": "purchase",
        "restates": "e1",
        "timestamp": YESTERDAY,
        "data": {**DATA, "amount": was},
    }
    return event(ident, "$restate", restatedData={**DATA, "amount": amount, **data}, **fields)


async def counted(*values: bytes, by: Catalog = DEFINITIONS) -> MemoryCounters:
    log = [LogRecord(offset, value) for offset, value in enumerate(values)]
    store = MemoryCounters()

    async def opened() -> OpenedGeneration:
        return OpenedGeneration(store, RULES)

    tracker = Tracker(opened, FixedCatalog(by), Letters())
    await tracker.assign([POSITION])
    for some in batches(log, 2):
        await tracker.track(some)
    return store


def days(store: MemoryCounters) -> dict[str, tuple[int, str]]:
    """Conversions and their sum by the day on which they happened, as the goal's periods and its points have it."""
    shown, points = store.owner("g:sum"), store.owner("h:sum")
    found = {}
    for suffix, name in (("/2026-09-20", "yesterday"), ("/2026-09-21", "today")):
        start = (YESTERDAY if name == "yesterday" else NOW) // DAY_MS * DAY_MS
        figures = _figures(points, suffix)
        assert figures == _figures(shown, f"@{start}")
        if figures != (0, "0"):
            found[name] = figures
    return found


def _figures(counters: Mapping[str, int], suffix: str) -> tuple[int, str]:
    number, whole, millionths = (counters.get(letter + suffix, 0) for letter in "nvu")
    return number, f"{exact_value(whole, millionths).normalize():f}"


def fates(store: MemoryCounters) -> dict[str, int]:
    found = dict(store.accounting()[0]["shop"])
    assert found["received"] == sum(number for fate, number in found.items() if fate != "received")
    return {fate: number for fate, number in found.items() if number and fate != "received"}


@pytest.mark.parametrize(
    ("log", "expected", "told"),
    [
        ([bought(), retract()], {}, {"counted": 2}),
        ([bought(), bought("e2", NOW), retract()], {"today": (1, "10.5")}, {"counted": 3}),
        ([bought(), retract(), retract()], {}, {"counted": 2, "duplicate": 1}),
        ([bought(), retract(), retract(ident="r2")], {}, {"counted": 2, "duplicate": 1}),
        ([bought(), retract(), bought()], {}, {"counted": 2, "duplicate": 1}),
        ([retract(), bought()], {"yesterday": (1, "10.5")}, {"counted": 1, "duplicate": 1}),
        ([retract(), bought(), retract()], {}, {"counted": 2, "duplicate": 1}),
        ([bought(plan="free"), retract(plan="free")], {}, {"unmatched": 2}),
        ([bought(plan="free"), retract()], {}, {"unmatched": 1, "duplicate": 1}),
        ([bought(), retract("e2")], {"yesterday": (1, "10.5")}, {"counted": 1, "duplicate": 1}),
        ([bought(), restate("7.25")], {"yesterday": (1, "7.25")}, {"counted": 2}),
        ([bought(), restate("7.25"), restate("7.25")], {"yesterday": (1, "7.25")}, {"counted": 2, "duplicate": 1}),
        ([bought(), restate("7"), restate("8", was="7", ident="s2")], {"yesterday": (1, "8")}, {"counted": 3}),
        ([bought(), restate("7"), retract(amount="7")], {}, {"counted": 3}),
        ([bought(), restate("7", plan="free")], {}, {"counted": 2}),
        ([restate("7"), bought()], {"yesterday": (1, "10.5")}, {"counted": 1, "duplicate": 1}),
    ],
)
async def test_what_was_counted_is_corrected_in_its_own_period_and_once(
    log: list[bytes], expected: dict[str, tuple[int, str]], told: dict[str, int]
) -> None:
    store = await counted(*log)
    assert days(store) == expected
    assert fates(store) == told
    number = sum(figures[0] for figures in expected.values())
    assert store.owner("g:count").get("n", 0) == store.owner("c:cg").get("n", 0) == number


async def test_the_first_of_its_session_or_visitor_and_a_unique_subject_stay() -> None:
    once = catalog(
        conversion_goal(counting="once_per_visitor"),
        conversion_goal("each", metric="each"),
        goal("count"),
        goal("unique", metric="each", aggregation="unique"),
    )
    back = event("r1", "$retract", eventType="purchase", retracts="e1", userId="u")
    store = await counted(event("e1", userId="u"), back, by=once)
    assert [store.owner(owner).get("n") for owner in ("g:count", "c:cg", "g:unique", "c:each")] == [1, 1, 1, 0]


class _Kept:
    """Implements verify's Snapshot and LogSource over a log that is counted."""

    def __init__(self, store: MemoryCounters, log: list[LogRecord]) -> None:
        self._store, self._log = store, log
        self.beginning = WHOLE_LOG

    async def snapshot(self) -> list[Counters]:
        owners = {owner: dict(own) for owner, own in self._store.owners().items()}
        return [{**owners, "cp": {POSITION.name: len(self._log)}}]

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Counters:
        raise AssertionError((name, goal, stripe))

    async def read(self, position: Any, start: int, end: int) -> Any:
        yield Batch(position, start, end, self._log[start:end])

    async def catalog(self) -> Catalog:
        return DEFINITIONS

    async def ends(self) -> Spans:
        return {POSITION: (0, len(self._log))}


async def test_verify_tells_a_correction_that_is_not_in_the_counters_and_its_id() -> None:
    values = [bought(), bought("e2", NOW), retract()]
    log = [LogRecord(offset, value) for offset, value in enumerate(values)]

    async def proved(store: MemoryCounters) -> Any:
        kept = _Kept(store, log)
        return await verify(kept, MemoryCounters, RULES, kept.catalog, kept, kept.ends)

    assert (await proved(await counted(*values))).equal
    verdict = await proved(await counted(*values[:2]))
    (total,) = [one for one in verdict.differences if one.difference.owner == "g:count"]
    assert (total.difference.counted, total.difference.recounted) == (2, 1)
    assert "r1" in total.event_ids
