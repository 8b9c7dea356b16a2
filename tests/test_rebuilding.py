"""A rebuild beside live counting: it ends, it compares at one place, and live counting goes on where it ended."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from app import rebuilding, rereading
from app.domain import fields
from app.domain.beginning import Spans
from app.domain.catalog import BROKERS_DIFFER_MS, Catalog
from app.domain.witness import Witness
from app.errors import Conflict, GenerationMissing, StoreUnavailable
from app.proving import FixedCatalog
from app.recounting import RecountProgress
from app.rereading import LOG_APPEND_TIME
from tests.backfill_site import DEFINITIONS, SINCE, goals
from tests.backfill_site import log_of as backfill_log_of
from tests.builders import NOW, catalog, created
from tests.faults.in_memory import Letters, differences_to_log, traffic_catalog
from tests.live_site import LiveSite
from tests.rebuild_site import LooksAtLog, NewGeneration, Stopped, ignore, live_site, rebuild_of

LATER = NOW + BROKERS_DIFFER_MS
"""For certain, whichever broker stamped what came before."""


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the batches of the log of these tests."""
    monkeypatch.setattr(rereading, "CHUNK", 25)


@pytest.mark.parametrize("step", [1, 6, 12], ids=["slower", "nearly as fast", "faster"])
async def test_it_ends_although_more_is_published_while_it_reads_and_live_counting_goes_on_there(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each of three partitions `step` messages a batch of 25."""
    monkeypatch.setattr(rebuilding, "SHORT_ROUND", 10)
    site, store = await live_site(), NewGeneration()
    site.step, site.goes_on_while_it_is_read = step, True
    messages = await rebuild_of(site, store).count(ignore)
    assert all(site.ends[position] < len(own) for position, own in site.log.items())
    reached = {
        position: own for position, (own,) in zip(site.log, await store.checkpoints(list(site.log)), strict=True)
    }
    assert sum(reached.values()) == messages >= 300
    assert store.fresh == {position: (NOW, end) for position, end in reached.items()}
    assert set(store.expected) == set(site.log)

    follower = LiveSite(site.log, traffic_catalog(), counted=(store, reached))
    await follower.go_on(3_000)
    await site.go_on(3_000)
    assert follower.store.owners() == site.store.owners()


async def test_it_compares_where_the_shown_generation_stands() -> None:
    site, store = await live_site(), NewGeneration()
    rebuild = rebuild_of(site, store)
    await rebuild.count(ignore)
    for _ in range(3):
        found = await rebuild.compare_with(site, ignore)
        assert found is not None
        assert (found.compared > 100, found.differences) == (True, [])
    site.store._stripes[0].counters["g:nobody"]["n"] += 1
    found = await rebuild.compare_with(site, ignore)
    assert found is not None
    assert [one.owner for one in found.differences] == ["g:nobody"]


async def test_dead_letters_are_written_of_what_the_shown_generation_has_not_come_to() -> None:
    """Live counting goes on beyond that when the new one is shown, and would write none."""
    site, store, letters = await live_site(), NewGeneration(), Letters(failures=2)
    ends = dict(site.ends)
    rebuild = rebuild_of(site, store, letters)

    async def whole_log() -> Spans:
        return {position: (0, len(own)) for position, own in site.log.items()}

    rebuild.spans = whole_log
    await rebuild.count(ignore)
    assert site.ends == ends
    assert letters.missing_from({position: own[ends[position] :] for position, own in site.log.items()}) == []
    assert all(offset >= ends[position] for position, offset, _ in letters.sent)


async def test_a_store_that_is_away_when_it_is_to_note_that_it_counts_does_not_end_it() -> None:
    site, store = await live_site(), NewGeneration()
    rebuild, asked, clock = rebuild_of(site, store), list[int](), itertools.count(NOW, 2_000)

    async def is_away(now: int) -> None:
        asked.append(now)
        raise StoreUnavailable("redis", "it is away")

    rebuild.note_counting, rebuild.now = is_away, lambda: next(clock)
    assert await rebuild.count(ignore) >= 300
    assert len(asked) > 3
    assert asked == sorted(set(asked)), "told again later, and not at once"


async def test_what_stands_elsewhere_is_not_compared() -> None:
    site, store = await live_site(), NewGeneration()
    rebuild = rebuild_of(site, store)
    await rebuild.count(ignore)
    behind = LiveSite(site.log, traffic_catalog(), step=0)
    assert await rebuild.compare_with(behind, ignore) is None
    apart = await live_site(stripes=3)
    assert await rebuild_of(apart, NewGeneration()).compare_with(apart, ignore) is None


async def test_of_what_it_counted_it_leaves_witnesses() -> None:
    """Who goes on from there would not know of a cut since."""
    site, store = await live_site(), NewGeneration()
    await rebuild_of(site, store).count(ignore)
    reached = zip(site.log, await store.checkpoints(list(site.log)), strict=True)
    assert store.told == {position.name: Witness(0, at, 0) for position, (at,) in reached}


async def test_a_log_that_was_cut_while_it_was_counted_ends_it() -> None:
    site, store = await live_site(), NewGeneration()
    rebuild, look = rebuild_of(site, store), LooksAtLog()
    rebuild.log_witnesses = look
    await rebuild.count(ignore)
    cut, *_ = site.log
    told, look.cuts = dict(store.told), {cut: 40}
    said = f"{cut.topic}/{cut.partition} was cut at offset 40, and generation 7 had counted it up to "
    for count_on in (partial(rebuild.count, ignore), partial(rebuild.compare_with, site, ignore)):
        with pytest.raises(Conflict, match=said):
            await count_on()
    assert store.told == told


async def test_what_was_deleted_while_it_stood_still_is_told_as_a_loss() -> None:
    site, store = await live_site(), NewGeneration()
    rebuild = rebuild_of(site, store)
    await rebuild.count(ignore)
    assert store.losses == []
    cut, *others = site.log
    (start,), *_ = await store.checkpoints([cut])
    site.log[cut] = [replace(record, timestamp=NOW - 1_000 + record.offset) for record in site.log[cut]]
    await site.go_on(100)

    async def spans_of_a_cut_log() -> Spans:
        return {position: (start + 40 if position == cut else 0, end) for position, end in site.ends.items()}

    rebuild.spans = spans_of_a_cut_log
    await rebuild.count(ignore)
    assert store.losses == [
        {
            "position": cut.name,
            "topic": cut.topic,
            "partition": cut.partition,
            "from": start,
            "to": start + 40,
            "number": 40,
            "at": NOW,
            "before": NOW - 1_000 + start + 40,
        }
    ]
    assert await store.checkpoints([cut, *others]) == [[end] for end in site.ends.values()]


async def test_what_was_deleted_while_it_stood_still_before_any_of_its_position_was_counted_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was stopped before it came to the last one."""
    monkeypatch.setattr(rereading, "AT_ONCE", 1)
    site, store = await live_site(), NewGeneration()
    site.step, rebuild = 0, rebuild_of(site, store)
    first, *_, last = site.log

    def stop(progress: RecountProgress) -> None:
        if progress.position == first:
            raise Stopped

    with pytest.raises(Stopped):
        await rebuild.count(stop)
    assert await store.checkpoints([last]) == [[0]]

    async def spans_of_a_cut_log() -> Spans:
        return {position: (30 if position == last else 0, end) for position, end in site.ends.items()}

    rebuild.spans = spans_of_a_cut_log
    await rebuild.count(ignore)
    assert [(loss["position"], loss["from"], loss["to"]) for loss in store.losses] == [(last.name, 0, 30)]


async def test_what_is_deleted_while_it_is_read_is_told_as_a_loss_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of one position below what is still to be read, of another all that was there."""
    monkeypatch.setattr(rereading, "AT_ONCE", 1)
    site, store = await live_site(), NewGeneration()
    site.step = 0
    cut, gone, _ = site.log

    def delete(progress: RecountProgress) -> None:
        if progress.position == cut:
            site.source.deleted_below = {cut: 60, gone: 100}

    # What follows what is counted has been read by then.
    assert await rebuild_of(site, store).count(delete) == 50 + 40 + 100
    assert [(loss["position"], loss["from"], loss["to"]) for loss in store.losses] == [
        (cut.name, 50, 60),
        (gone.name, 0, 100),
    ]
    assert await store.checkpoints(list(site.log)) == [[100]] * 3
    left = {position: own[:100] for position, own in site.log.items()}
    left[cut][50:60] = left[gone][:] = []
    assert differences_to_log(store, left) == []


@pytest.mark.parametrize(
    ("created_at", "stamped", "told"),
    [
        (LATER + 60, LOG_APPEND_TIME, [50]),
        (LATER + 61, LOG_APPEND_TIME, []),
        (LATER + 61, 0, [50]),
        (LATER + 61, None, [50]),
    ],
)
async def test_what_came_before_the_first_project_is_no_loss(
    created_at: int, stamped: int | None, told: list[int]
) -> None:
    """Producers' timestamps say nothing of what was received before."""
    site, store = await live_site(), NewGeneration()
    site.step, site.definitions.current = 0, created(site.definitions.current, created_at)
    cut, *_ = site.log
    site.log[cut][:] = [
        replace(record, timestamp=NOW + record.offset, timestamp_type=stamped) for record in site.log[cut]
    ]

    def delete(progress: RecountProgress) -> None:
        if progress.position == cut:
            site.source.deleted_below = {cut: 60}

    await rebuild_of(site, store).count(delete)
    assert [loss["from"] for loss in store.losses] == told
    assert await store.checkpoints([cut]) == [[100]]


async def test_where_there_is_no_project_nothing_is_lost() -> None:
    """Although producers' timestamps do not tell when it came."""
    site, store = await live_site(), NewGeneration()
    site.step, site.definitions.current = 0, replace(site.definitions.current, projects={})
    cut, *_ = site.log
    site.log[cut][:] = [replace(record, timestamp_type=0) for record in site.log[cut]]

    def delete(progress: RecountProgress) -> None:
        if progress.position == cut:
            site.source.deleted_below = {cut: 60}

    await rebuild_of(site, store).count(delete)
    assert store.losses == []
    assert await store.checkpoints([cut]) == [[100]]


@pytest.mark.parametrize("after", [1, 3 * 100 // 25])
async def test_a_topic_that_is_created_again_while_it_is_counted_ends_it(after: int) -> None:
    """What was read after that is of another topic, and of the first one an unknown part."""
    site, store = await live_site(), NewGeneration()
    site.step, rebuild, read = 0, rebuild_of(site, store), 0
    again = [replace(position, incarnation="again") for position in site.log]

    async def spans_of_the_new_topic() -> Spans:
        return dict.fromkeys(again, (0, 200))

    def recreate(_: RecountProgress) -> None:
        nonlocal read
        read += 1
        if read == after:
            rebuild.spans = spans_of_the_new_topic

    with pytest.raises(Conflict, match="events:0:id, events:1:id, events:2:id"):
        await rebuild.count(recreate)
    assert not store.expected


async def test_a_project_that_is_created_while_it_reads_can_lose_something() -> None:
    """The hole reaches further than all that was read so far, and the catalog with it."""
    site, store = await live_site(), NewGeneration()
    site.step, cut, rebuild = 0, next(iter(site.log)), rebuild_of(site, store)
    site.log[cut][:] = [replace(record, timestamp=NOW + record.offset) for record in site.log[cut]]
    rebuild.catalog = LateCatalog(site.definitions.current, NOW + 50)

    def delete(progress: RecountProgress) -> None:
        if progress.position == cut:
            site.source.deleted_below = {cut: 60}

    await rebuild.count(delete)
    assert [loss["from"] for loss in store.losses] == [50]


async def test_a_backfill_that_it_makes_goes_on_where_the_log_begins() -> None:
    """Retention passes the first offset between the counting and the filling."""
    site, store = LiveSite(backfill_log_of(6), catalog(*DEFINITIONS)), NewGeneration()
    await site.go_on(100)
    site.step = 0
    rebuild = rebuild_of(site, store)

    def define_and_delete(progress: RecountProgress) -> None:
        if progress.done == progress.total:
            filled = goals(backfill=True, acts_from=SINCE)
            site.definitions.current = catalog(*DEFINITIONS, *filled)
            site.source.deleted_below = dict.fromkeys(site.log, 30)

    await rebuild.count(define_and_delete)
    assert store.losses == []
    backfills = site.definitions.current.backfills
    assert backfills
    for name in backfills:
        assert store._backfill_states[name][fields.FILLED]
        assert set(store._backfills[name].checkpoints.values()) == {100}


class LateCatalog(FixedCatalog):
    """Of projects that were created then, and are known from then on."""

    def __init__(self, definitions: Catalog, created_at: int) -> None:
        super().__init__(replace(definitions, projects={}))
        self._later = created(definitions, created_at)
        self._created_at = created_at

    async def reach(self, received_at: int) -> None:
        if received_at >= self._created_at:
            self.current = self._later


async def test_counters_that_go_back_under_it_end_it_with_what_to_do() -> None:
    site, store = await live_site(), NewGeneration()

    def lose_everything(_: RecountProgress) -> None:
        store.__dict__.update(NewGeneration().__dict__)

    with pytest.raises(Conflict, match="run it again when that is over"):
        await rebuild_of(site, store).count(lose_everything)


async def test_one_whose_generation_is_gone_ends_and_does_not_ask_for_it_for_ever() -> None:
    site, store = await live_site(), NewGeneration()

    async def is_gone(*_: object) -> Any:
        raise GenerationMissing(7)

    def empty_redis(_: RecountProgress) -> None:
        store.__dict__.update(apply=is_gone, checkpoints=is_gone)

    with pytest.raises(Conflict, match=r"^generation 7 is gone, .* run it again"):
        async with asyncio.timeout(30):
            await rebuild_of(site, store).count(empty_redis)
