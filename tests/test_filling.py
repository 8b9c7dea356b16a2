"""A goal with `backfill` counts what the log holds exactly, beside live counting, whoever dies or fills twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from app import backfilling, filling
from app.domain import fields
from app.domain.catalog import Catalog
from app.domain.history import DefinitionVersion
from app.domain.increments import Position
from app.errors import StoreUnavailable
from app.filling import Filler
from app.proving import verify
from app.stores.memory import MemoryCounters
from app.tracking import Batch, Counting, Hook, Tracker, no_hook
from tests.builders import NOW, RULES, LogRecord, catalog, conversion_goal, event, version
from tests.faults.in_memory import FlakyCounters, Letters, Log

SINCE = NOW + 5_000_000
"""When the goals with `backfill` are created: in the middle of the log."""
STARTS_AT = "2026-09-21T08:00:00Z"
KINDS: Mapping[str, dict[str, object]] = {
    "count": {},
    "sum": {"aggregation": "sum"},
    "unique": {"aggregation": "unique", "period": "day"},
    "rate": {"aggregation": "rate", "denominatorMetric": "visit"},
    "session": {"metric": "visit"},
    "visitor": {"metric": "person", "period": "week"},
}
DEFINITIONS = [
    conversion_goal("buy", valueProperty="amount"),
    conversion_goal("visit", metric="visit", counting="once_per_session"),
    conversion_goal("person", metric="person", counting="once_per_visitor"),
]


class _CrashError(BaseException):
    """Like SIGKILL: nothing may catch it."""


@dataclass
class GrowingCatalog:
    """Implements CatalogKeeper; what it holds is replaced by the test."""

    current: Catalog

    async def reach(self, received_at: int) -> None:
        del received_at


@dataclass
class MemoryLog:
    """Implements LogSource over a log in memory."""

    log: Log
    size: int = 25
    read_messages: int = 0
    on_batch: Callable[[], Awaitable[None]] | None = None

    async def read(self, position: Position, start: int, end: int) -> AsyncIterator[Batch]:
        for first in range(start, end, self.size):
            beyond = min(first + self.size, end)
            self.read_messages += beyond - first
            if self.on_batch is not None:
                await self.on_batch()
            await asyncio.sleep(0)
            yield Batch(position, first, beyond, self.log[position][first:beyond])


def goals(*, backfill: bool, acts_from: int) -> list[DefinitionVersion]:
    """One goal of each kind."""
    return [
        replace(
            version(
                "goal",
                f"{kind}-{'filled' if backfill else 'whole'}",
                {
                    "metric": "m",
                    "target": 1,
                    "deadline": "2030-01-01",
                    "startsAt": STARTS_AT,
                    "backfill": backfill,
                    **body,
                },
            ),
            effective_from=acts_from,
            created_at=acts_from,
            revision=7,
        )
        for kind, body in KINDS.items()
    ]


def log_of(seed: int, number: int = 400, partitions: int = 2) -> Log:
    """Sessions, visitors, late events, copies and corrections, on both sides of the goals' creation.

    A visitor's events are in one partition, so that which of them was the first does not depend on who reads when.
    """
    chance = random.Random(seed)
    log: Log = {Position("events", partition, "id"): [] for partition in range(partitions)}
    positions, sent = list(log), list[tuple[Position, bytes]]()
    for number_sent in range(number):
        visitor = chance.randrange(30)
        position = positions[visitor % partitions]
        at = NOW + number_sent * 10_000_000 // number
        if sent and chance.random() < 0.2:
            position, value = chance.choice(sent)
        else:
            who = {"sessionId": f"s{visitor}-{chance.randrange(3)}", "visitorId": f"v{visitor}"}
            data = {"amount": chance.randrange(100) / 4}
            when = at - chance.randrange(9_000_000)
            value = event(f"e{number_sent}", "purchase", "shop", timestamp=when, data=data, **who)
            sent.append((position, value))
            if chance.random() < 0.1:
                back: dict[str, object] = {"retracts": f"e{number_sent}", "eventType": "purchase", "data": data, **who}
                sent.append((position, event(f"r{number_sent}", "$retract", "shop", timestamp=when, **back)))
        log[position].append(LogRecord(len(log[position]), value, at))
    return log


@dataclass
class Site:
    """A log, its counters, and workers that come and go."""

    log: Log
    faults: Sequence[str] = ()
    catalog: GrowingCatalog = field(
        default_factory=lambda: GrowingCatalog(catalog(*DEFINITIONS, *goals(backfill=False, acts_from=0)))
    )

    def __post_init__(self) -> None:
        self.store = FlakyCounters(MemoryCounters(), iter(self.faults))
        self.source = MemoryLog(self.log)

    def define(self) -> None:
        """Create the goals with `backfill`."""
        whole = goals(backfill=False, acts_from=0)
        self.catalog.current = catalog(*DEFINITIONS, *whole, *goals(backfill=True, acts_from=SINCE))

    def worker(self, hook: Hook = no_hook) -> tuple[Tracker, Filler]:
        async def open_counting() -> Counting:
            return Counting(self.store, RULES)

        tracker = Tracker(open_counting, self.catalog, Letters(), hook=hook, retry_wait_seconds=0.001)
        return tracker, Filler(tracker, self.source, self.first_offsets, self.positions, pause=False)

    async def first_offsets(self, positions: Sequence[Position]) -> Mapping[Position, int]:
        return dict.fromkeys(positions, 0)

    async def positions(self) -> Sequence[Position]:
        return list(self.log)

    async def read(self, tracker: Tracker, until: float = 1.0, size: int = 20) -> None:
        """Read the first part of the log, as the consumer does."""
        next_offset = dict(await tracker.assign(list(self.log)))
        ends = {position: int(len(own) * until) for position, own in self.log.items()}
        while any(next_offset[position] < end for position, end in ends.items()):
            for position, end in ends.items():
                start = next_offset[position]
                some = self.log[position][start : min(start + size, end)]
                if some:
                    outcome = await tracker.track(Batch(position, start, start + len(some), some))
                    next_offset[position] = start + len(some) if outcome.seek_to is None else outcome.seek_to
                await asyncio.sleep(0)

    def state(self, kind: str) -> Mapping[str, int]:
        return self.store.inner.owner(fields.in_backfill(f"{kind}-filled~7", fields.STATE))

    def assert_filled_exactly(self) -> None:
        """Each goal with `backfill` holds what the goal of its kind holds that was there from the log's start."""
        for kind in KINDS:
            assert self.state(kind).get(fields.FILLED), kind
            for owner in (fields.goal_owner, fields.goal_history_owner):
                whole = self.store.inner.owner(owner(f"{kind}-whole"))
                filled = self.store.inner.owner(fields.in_backfill(f"{kind}-filled~7", owner(f"{kind}-filled")))
                assert _counts(filled) == _counts(whole), kind
            assert whole


def _counts(own: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in own.items() if number and name != fields.LAST}


async def test_a_backfill_counts_what_the_log_held_and_goes_on_with_live_counting() -> None:
    site = Site(log_of(1))
    tracker, filler = site.worker()
    await site.read(tracker, 0.5)
    site.define()
    await filler.fill()
    site_half = {kind: dict(site.state(kind)) for kind in KINDS}
    assert all(state.get(fields.FILLED) for state in site_half.values())
    read_before = site.source.read_messages
    await site.read(tracker)
    site.assert_filled_exactly()
    assert site.source.read_messages == read_before


async def test_without_the_filling_the_counts_would_be_others() -> None:
    site = Site(log_of(1))
    tracker, filler = site.worker()
    await site.read(tracker, 0.5)
    site.define()
    await site.read(tracker)
    with pytest.raises(AssertionError):
        site.assert_filled_exactly()
    await filler.fill()
    site.assert_filled_exactly()


@pytest.mark.parametrize("seed", range(8))
async def test_filling_beside_live_counting_is_exact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "NEAR", random.Random(seed).choice([0, 5, 1_000]))
    monkeypatch.setattr(backfilling, "MAX_TRAIL", random.Random(seed).choice([1, 30, 1_000]))
    site = Site(log_of(seed))
    tracker, filler = site.worker()
    await site.read(tracker, random.Random(seed).random())
    site.define()
    async with asyncio.TaskGroup() as group:
        group.create_task(site.read(tracker))
        group.create_task(_fill_again(filler, 40))
    await filler.fill()
    site.assert_filled_exactly()


async def _fill_again(filler: Filler, times: int) -> None:
    for _ in range(times):
        await filler.fill()
        await asyncio.sleep(0)


async def _dies(work: Coroutine[None, None, None]) -> None:
    with suppress(_CrashError):
        await work


@pytest.mark.parametrize("wanted", ["fill", "apply", "applied"])
@pytest.mark.parametrize("when", [0, 1, 3, 9, 20])
async def test_a_worker_that_dies_while_it_fills_leaves_nothing_half_counted(wanted: str, when: int) -> None:
    site = Site(log_of(2))
    await site.read(site.worker()[0], 0.6)
    site.define()
    left = [when]

    def hook(step: str) -> None:
        left[0] -= step == wanted
        if left[0] < 0:
            raise _CrashError

    tracker, filler = site.worker(hook)
    await asyncio.wait(
        [asyncio.create_task(one) for one in (_dies(site.read(tracker)), _dies(_fill_again(filler, 40)))]
    )
    tracker, filler = site.worker()
    await site.read(tracker)
    await filler.fill()
    site.assert_filled_exactly()


@pytest.mark.parametrize("seed", range(8))
async def test_two_workers_that_fill_the_same_count_it_once(seed: int) -> None:
    site = Site(log_of(seed))
    first, filler = site.worker()
    second, other = site.worker()
    await site.read(first, 0.5)
    await second.assign(list(site.log))
    site.define()
    async with asyncio.TaskGroup() as group:
        group.create_task(_fill_again(filler, 10))
        group.create_task(_fill_again(other, 10))
        group.create_task(site.read(first))
    await filler.fill()
    site.assert_filled_exactly()


@pytest.mark.parametrize("seed", range(8))
async def test_a_store_that_fails_or_goes_back_while_it_is_filled_changes_no_count(seed: int) -> None:
    chance = random.Random(seed)
    faults = [chance.choice(["", "", "before", "after", "twin", "rollback"]) for _ in range(120)]
    site = Site(log_of(seed), [""] * 15 + faults)
    tracker, filler = site.worker()
    await site.read(tracker, 0.5)
    site.define()
    async with asyncio.TaskGroup() as group:
        group.create_task(site.read(tracker, size=chance.choice([7, 20])))
        group.create_task(_fill_again(filler, 30))
    site.store.faults = iter(())
    # What went back with the last writes is read again, as after the next batch.
    tracker, filler = site.worker()
    await site.read(tracker)
    await filler.fill()
    site.assert_filled_exactly()


async def test_nothing_is_shown_before_every_partition_has_joined() -> None:
    site = Site(log_of(3))
    tracker, filler = site.worker()
    await site.read(tracker, 0.5)
    site.define()
    stop_after = [3]

    async def on_batch() -> None:
        stop_after[0] -= 1
        if stop_after[0] < 0:
            raise StoreUnavailable("kafka", "away")

    site.source.on_batch = on_batch
    with pytest.raises(StoreUnavailable):
        await filler.fill()
    assert not any(site.state(kind).get(fields.FILLED) for kind in KINDS)
    state = site.state("count")
    done, total = (sum(n for name, n in state.items() if name.startswith(k)) for k in (fields.DONE, fields.TOTAL))
    assert 0 < done < total
    site.source.on_batch = None
    await filler.fill()
    assert all(site.state(kind).get(fields.FILLED) for kind in KINDS)


async def test_an_idle_partition_joins_too() -> None:
    site = Site(log_of(3) | {Position("events", 9, "id"): []})
    tracker, filler = site.worker()
    await site.read(tracker)
    site.define()
    await filler.fill()
    site.assert_filled_exactly()


async def test_verify_recounts_each_backfill_to_its_own_checkpoint_and_notices_one_that_is_off() -> None:
    site = Site(log_of(4))
    tracker, filler = site.worker()
    await site.read(tracker, 0.3)  # up to before the goals begin to act
    site.define()
    snapshot = _Snapshot(site)
    found = await _verify(site, snapshot)
    assert (found.differences, len(found.unfinished)) == ([], len(KINDS))
    await filler.fill()
    await site.read(tracker, 0.8)
    found = await _verify(site, snapshot)
    assert (found.differences, found.unfinished) == ([], [])
    assert found.compared > 100
    counters = site.store.inner._backfills["sum-filled~7"].counters
    counters["g:sum-filled"]["n"] += 1
    assert [one.difference.owner for one in (await _verify(site, snapshot)).differences] == [
        "f:sum-filled~7:g:sum-filled"
    ]


@dataclass
class _Snapshot:
    site: Site

    async def snapshot(self) -> Sequence[Mapping[str, Mapping[str, int]]]:
        stripe = self.site.store.inner._stripes[0]
        return [{"cp": dict(stripe.checkpoints), **{owner: dict(own) for owner, own in stripe.counters.items()}}]

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Mapping[str, Mapping[str, int]]:
        del goal, stripe
        own = self.site.store.inner._backfills[name]
        state = dict(self.site.store.inner._backfill_states[name])
        return {"cp": dict(own.checkpoints), "state": state} | {
            owner: dict(own.counters[owner]) for owner in ("g:" + name.partition("~")[0], "h:" + name.partition("~")[0])
        }


async def _verify(site: Site, snapshot: _Snapshot):  # type: ignore[no-untyped-def]  # what verify returns
    ends = {position: (0, len(own)) for position, own in site.log.items()}
    memory = lambda: MemoryCounters()  # noqa: E731  # a new one each time
    return await verify(snapshot, memory, RULES, site.catalog.current, site.source, ends)


async def test_a_whole_recount_gives_what_filling_gave() -> None:
    site = Site(log_of(5))
    tracker, filler = site.worker()
    await site.read(tracker, 0.3)  # up to before the goals begin to act
    site.define()
    await filler.fill()
    await site.read(tracker)
    again = Site(site.log, catalog=site.catalog)
    tracker, filler = again.worker()
    await again.read(tracker)
    await filler.fill()
    again.assert_filled_exactly()
    assert again.store.inner.owners() == site.store.inner.owners()


async def test_turning_backfill_off_shows_what_was_counted_without_it() -> None:
    site = Site(log_of(5))
    site.define()
    assert len(site.catalog.current.backfills) == len(KINDS)
    ended = [replace(one, effective_until=SINCE + 1) for one in goals(backfill=True, acts_from=SINCE)]
    off = [
        replace(one, id=one.id.replace("whole", "filled"), effective_from=SINCE + 1, revision=9)
        for one in goals(backfill=False, acts_from=0)
    ]
    assert catalog(*DEFINITIONS, *ended, *off).backfills == {}
