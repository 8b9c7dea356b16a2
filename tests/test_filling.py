"""A goal with `backfill` counts what the log holds exactly, beside live counting, whoever dies or fills twice."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from app import backfilling, filling
from app.domain import fields
from app.domain.backfill import backfill_name
from app.domain.beginning import Beginning, Spans
from app.domain.catalog import Catalog
from app.domain.increments import Position
from app.errors import StoreUnavailable
from app.filling import Filler
from app.proving import verify
from app.stores.memory import MemoryCounters
from app.tracking import Tracker
from tests.backfill_site import DEFINITIONS, KINDS, SINCE, Site, goals, log_of
from tests.builders import RULES, LogRecord, catalog


class CrashError(BaseException):
    """Like SIGKILL: nothing may catch it."""


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
    monkeypatch.setattr(filling, "SHORT_REST", random.Random(seed).choice([0, 5, 1_000]))
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
    with suppress(CrashError):
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
            raise CrashError

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


async def test_a_reading_ends_when_its_partition_is_taken_away() -> None:
    """At once, and not when the collector comes by: each has a connection to the brokers."""
    site = Site(log_of(3))
    tracker, filler = site.worker()
    await site.read(tracker, 0.5)
    site.define()

    async def take_away() -> None:
        await tracker.assign([])

    site.source.on_batch = take_away
    await filler.fill()
    assert site.source.read_messages
    assert site.source.being_read == 0


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


@pytest.mark.parametrize("is_asked_live", [True, False], ids=["while it is counted", "before"])
async def test_under_a_generation_that_begins_late_a_backfill_begins_there(is_asked_live: bool) -> None:
    log = log_of(4)
    beginning = Beginning(SINCE, {position.name: 20 for position in log}, left_out_up_to=SINCE - 1)
    site = Site(log, counters=MemoryCounters(beginning=beginning))
    tracker, filler = site.worker()
    if is_asked_live:
        await site.read(tracker, 0.3)  # up to before the goals begin to act
        site.define()
        await filler.fill()
        assert site.source.read_messages == sum(int(0.3 * len(own)) - 20 for own in log.values())
        for position in log:
            wanted = int(0.3 * len(log[position])) - 20
            told = {kind: site.state(kind)[fields.TOTAL + position.name] for kind in KINDS}
            assert told == dict.fromkeys(KINDS, wanted)
            since = {kind: site.state(kind)[fields.SINCE + position.name] for kind in KINDS}
            assert since == dict.fromkeys(KINDS, log[position][20].timestamp)
    else:
        site.define()
    await site.read(tracker)
    await filler.fill()
    site.assert_filled_exactly()
    found = await _verify(site, _Snapshot(site))
    assert (found.differences, found.unfinished, found.since) == ([], [], SINCE)
    assert found.compared > 100


@dataclass
class _Snapshot:
    site: Site

    @property
    def beginning(self) -> Beginning:
        return self.site.store.beginning

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
    async def read_catalog() -> Catalog:
        return site.catalog.current

    async def read_ends() -> Spans:
        return {position: (0, len(own)) for position, own in site.log.items()}

    return await verify(snapshot, MemoryCounters, RULES, read_catalog, site.source, read_ends)


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


async def test_a_goal_that_is_created_again_is_filled_again() -> None:
    site = Site(log_of(5))
    tracker, filler = site.worker()
    await site.read(tracker, 0.3)
    site.define()
    await filler.fill()
    whole, filled = goals(backfill=False, acts_from=0), goals(backfill=True, acts_from=SINCE)
    deleted = [replace(one, effective_until=SINCE + 1_000_000) for one in filled]
    site.catalog.current = catalog(*DEFINITIONS, *whole, *deleted)
    await site.read(tracker, 0.8)
    again = [replace(one, effective_from=SINCE + 3_000_000, revision=9) for one in filled]
    site.catalog.current = catalog(*DEFINITIONS, *whole, *deleted, *again)
    assert {backfill_name([*deleted, *again][number :: len(again)]) for number in range(len(again))} == {
        f"{one.id}~9" for one in again
    }
    await site.read(tracker)
    with pytest.raises(AssertionError):
        site.assert_filled_exactly(9)
    await filler.fill()
    site.assert_filled_exactly(9)


async def test_a_backfill_that_ends_while_others_are_met_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(log_of(5))
    tracker, filler = site.worker()
    await site.read(tracker, 0.3)
    site.define()
    all_of_them = site.catalog.current
    whole, filled = goals(backfill=False, acts_from=0), goals(backfill=True, acts_from=SINCE)
    site.catalog.current = catalog(*DEFINITIONS, *whole, *filled[1:])
    await filler.fill()
    site.catalog.current = all_of_them
    open_backfills = site.counters.open_backfills

    async def delete_meanwhile(
        stripes: Mapping[str, int], positions: Sequence[Position]
    ) -> Mapping[str, Sequence[int]]:
        site.catalog.current = catalog(*DEFINITIONS, *whole, *filled[:1])
        return await open_backfills(stripes, positions)

    monkeypatch.setattr(site.counters, "open_backfills", delete_meanwhile)
    await site.read(tracker)
    (kept,) = site.catalog.current.backfills
    await filler.fill()
    assert site.counters.owner(fields.in_backfill(kept, fields.STATE)).get(fields.FILLED)


@pytest.mark.parametrize("joined", [True, False])
async def test_where_the_log_was_cut_off_a_backfill_goes_back_too(joined: bool) -> None:
    site = Site(log_of(1))
    tracker, filler = site.worker()
    await site.read(tracker, 0.7)
    site.define()
    if joined:
        await filler.fill()
    else:
        await _fill_a_part(site, tracker, filler)
    ends = {position: tracker.checkpoint(position) or 0 for position in site.log}
    for position, end in ends.items():
        to = end // 2
        site.log[position][to:] = [_renamed(record) for record in site.log[position][to:]]
        assert await tracker.go_back(position, tracker.reached(position), [to])
        checkpoints = await _checkpoints_of_backfills(site, position)
        assert checkpoints
        assert max(checkpoints) <= to
    await site.read(tracker)
    await filler.fill()
    if joined:
        site.assert_filled_exactly()


async def _fill_a_part(site: Site, tracker: Tracker, filler: Filler) -> None:
    async def stop_near_the_end() -> None:
        if any(
            at * 10 > (tracker.checkpoint(position) or 0) * 7
            for position, own in tracker.backfills.behind().items()
            for at in own.values()
        ):
            raise CrashError

    site.source.on_batch = stop_near_the_end
    await _dies(filler.fill())
    site.source.on_batch = None


async def _checkpoints_of_backfills(site: Site, position: Position) -> list[int]:
    opened = await site.store.open_backfills(dict.fromkeys(site.catalog.current.backfills, 0), [position])
    return [checkpoint for (checkpoint,) in opened.values()]


def _renamed(record: LogRecord) -> LogRecord:
    """Another event: of the same, the second would be a copy."""
    assert record.value is not None
    return replace(record, value=re.sub(rb'"([er])(\d+)"', rb'"other-\1\2"', record.value))
