"""`verify` beside live counting: what is counted and defined while it looks is no difference."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from app import rereading
from app.domain.beginning import Beginning, Spans
from app.domain.catalog import BROKERS_DIFFER_MS
from app.proving import MAX_IDS, Verdict, verify
from app.recounting import RecountProgress
from app.rereading import LOG_APPEND_TIME
from app.stores.memory import MemoryCounters
from tests.backfill_site import DEFINITIONS, SINCE, goals
from tests.backfill_site import log_of as backfill_log_of
from tests.builders import NOW, catalog, conversion_goal, created
from tests.faults.in_memory import log_of, traffic_catalog
from tests.live_site import LiveSite

LATER = NOW + BROKERS_DIFFER_MS
"""For certain, whichever broker stamped what came before."""


async def verified(site: LiveSite) -> Verdict:
    return await verify(
        site, lambda: MemoryCounters(site.rules.stripes), site.rules, site.read_catalog, site, site.read_spans
    )


@pytest.mark.parametrize("stripes", [1, 3])
async def test_what_is_counted_while_it_looks_is_no_difference(stripes: int) -> None:
    site = LiveSite(log_of(5, 1_500), traffic_catalog(), stripes=stripes)
    await site.go_on(200)
    for _ in range(3):
        before = dict(site.ends)
        verdict = await verified(site)
        assert site.ends != before
        assert (verdict.differences, verdict.unprovable) == ([], [])
        assert verdict.compared > 100
    site.store._stripes[-1].counters["g:nobody"]["n"] += 1
    assert [one.difference.owner for one in (await verified(site)).differences] == ["g:nobody"]


@pytest.mark.parametrize("first", range(70, 100, 3))
async def test_what_is_defined_while_it_looks_is_no_difference(first: int) -> None:
    """Goals with `backfill`, which are filled meanwhile, and later on a conversion goal that feeds them."""
    whole = goals(backfill=False, acts_from=0)
    filled = goals(backfill=True, acts_from=SINCE)
    later = SINCE + 800_000
    also = replace(conversion_goal("also"), effective_from=later, created_at=later)
    site = LiveSite(backfill_log_of(6), catalog(*DEFINITIONS, *whole), step=2)
    site.later = [
        (SINCE, catalog(*DEFINITIONS, *whole, *filled)),
        (later, catalog(*DEFINITIONS, *whole, *filled, also)),
    ]
    await site.go_on(first)
    verdicts = [await verified(site) for _ in range(5)]
    assert not site.later
    assert [verdict.differences for verdict in verdicts] == [[]] * 5
    assert [bool(verdict.unfinished) for verdict in verdicts][-1] is False


async def test_a_log_that_ends_below_what_was_counted_proves_nothing_above() -> None:
    site = LiveSite(log_of(5, 300), traffic_catalog())
    await site.go_on(50)
    position = next(iter(site.log))
    counted = site.ends[position]

    async def read_ends() -> Spans:
        return {each: (0, counted - 20 if each == position else end) for each, end in site.ends.items()}

    site.step = 0
    verdict = await verify(site, MemoryCounters, site.rules, site.read_catalog, site, read_ends)
    assert verdict.messages == sum(site.ends.values()) - 20
    assert verdict.unprovable == [
        f"{position.name}: offsets below {counted} were counted, and the log ends at {counted - 20}: it was cut there"
    ]


async def test_what_is_deleted_while_it_is_read_cannot_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows what is counted has been read by then."""
    monkeypatch.setattr(rereading, "CHUNK", 25)
    site = LiveSite(log_of(5, 300), traffic_catalog())
    await site.go_on(100)
    site.step = 0
    position = next(iter(site.log))

    def delete(_: RecountProgress) -> None:
        site.source.deleted_below = {position: 60}

    verdict = await verify(
        site, MemoryCounters, site.rules, site.read_catalog, site, site.read_spans, on_progress=delete
    )
    assert verdict.messages == sum(site.ends.values()) - 10
    assert verdict.unprovable == [f"{position.name}: offsets below 60 were counted and are not in the log any more"]
    assert not verdict.equal


async def test_what_is_deleted_before_a_backfill_is_read_cannot_be_proved() -> None:
    filled = goals(backfill=True, acts_from=SINCE)
    site = LiveSite(backfill_log_of(6), catalog(*DEFINITIONS, *filled))
    await site.go_on(100)
    site.step = 0

    def delete(progress: RecountProgress) -> None:
        if progress.done == progress.total:
            site.source.deleted_below = dict.fromkeys(site.log, 40)

    verdict = await verify(
        site, MemoryCounters, site.rules, site.read_catalog, site, site.read_spans, on_progress=delete
    )
    assert verdict.unprovable == [
        f"{position.name}: offsets below 40 were counted and are not in the log any more" for position in site.log
    ]
    assert {one.difference.owner[:2] for one in verdict.differences} == {"f:"}


def late_site(stripes: int = 1) -> LiveSite:
    """Its counters begin at offset 150 of each position, and have counted as much again."""
    log = log_of(5, 1_500)
    beginning = Beginning(NOW, {position.name: 150 for position in log}, left_out_up_to=NOW - 1)
    store = MemoryCounters(stripes, beginning=beginning)
    return LiveSite(log, traffic_catalog(), stripes=stripes, counted=(store, dict.fromkeys(log, 0)))


@pytest.mark.parametrize("stripes", [1, 3])
async def test_counters_that_begin_late_are_proved_from_there(stripes: int) -> None:
    site = late_site(stripes)
    await site.go_on(300)
    for _ in range(3):
        verdict = await verified(site)
        assert (verdict.differences, verdict.unprovable, verdict.since) == ([], [], NOW)
        assert verdict.compared > 100
    site.step = 0
    assert (await verified(site)).messages == sum(end - 150 for end in site.ends.values())
    site.store._stripes[-1].counters["g:nobody"]["n"] += 1
    assert [one.difference.owner for one in (await verified(site)).differences] == ["g:nobody"]


async def test_what_such_counters_counted_and_the_log_lost_cannot_be_proved() -> None:
    site = late_site()
    await site.go_on(300)
    site.step, (position, *_) = 0, site.log

    async def ends_of_a_log_cut_at(first: int) -> Spans:
        return {each: (first if each == position else 0, end) for each, end in site.ends.items()}

    for first, told in (
        (150, []),
        (151, [f"{position.name}: offsets below 151 were counted and are not in the log any more"]),
    ):
        read_ends = partial(ends_of_a_log_cut_at, first)
        verdict = await verify(site, MemoryCounters, site.rules, site.read_catalog, site, read_ends)
        assert verdict.unprovable == told


@pytest.mark.parametrize(
    ("created_at", "stamped", "is_told"),
    [(LATER + 40, LOG_APPEND_TIME, True), (LATER + 41, LOG_APPEND_TIME, False), (LATER + 41, 0, True)],
)
async def test_what_came_before_the_first_project_needs_no_proof(
    created_at: int, stamped: int, *, is_told: bool
) -> None:
    """Producers' timestamps say nothing of what was received before."""
    log = log_of(5, 1_500)
    for own in log.values():
        own[:] = [
            replace(record, timestamp=(NOW if record.offset <= 40 else LATER) + record.offset, timestamp_type=stamped)
            for record in own
        ]
    site = LiveSite(log, created(traffic_catalog(), created_at))
    await site.go_on(300)
    site.step, (position, *_) = 0, site.log

    async def ends_of_a_cut_log() -> Spans:
        return {each: (40 if each == position else 0, end) for each, end in site.ends.items()}

    verdict = await verify(site, MemoryCounters, site.rules, site.read_catalog, site, ends_of_a_cut_log)
    assert [position.name in told for told in verdict.unprovable] == [True] * is_told
    assert verdict.compared > 100


async def test_where_there_is_no_project_nothing_needs_proof() -> None:
    """Although producers' timestamps do not tell when it came."""
    log = log_of(5, 1_500)
    for own in log.values():
        own[:] = [replace(record, timestamp_type=0) for record in own]
    site = LiveSite(log, replace(traffic_catalog(), projects={}))
    await site.go_on(300)
    site.step = 0

    async def ends_of_a_cut_log() -> Spans:
        return {position: (40, end) for position, end in site.ends.items()}

    verdict = await verify(site, MemoryCounters, site.rules, site.read_catalog, site, ends_of_a_cut_log)
    assert verdict.equal


async def test_ids_behind_a_difference_are_of_what_counts() -> None:
    log = {position: own[:80] for position, own in log_of(5, 1_500).items()}
    beginning = Beginning(NOW, {position.name: 75 for position in log}, left_out_up_to=NOW - 1)
    site = LiveSite(log, traffic_catalog(), counted=(MemoryCounters(beginning=beginning), dict.fromkeys(log, 0)))
    await site.go_on(80)
    counting = [owner for owner in site.store.owners() if owner.startswith("c:")]
    site.store._stripes[0].counters[counting[0]]["n"] += 1
    (explained,) = (await verified(site)).differences
    late = b"".join(record.value or b"" for own in log.values() for record in own[75:])
    assert explained.event_ids
    assert all(ident.encode() in late for ident in explained.event_ids)


async def test_ids_are_read_until_there_are_enough_of_each_difference() -> None:
    site = LiveSite(log_of(5, 1_500), traffic_catalog())
    await site.go_on(500)
    site.step = 0
    counting = max(
        (owner for owner in site.store.owners() if owner.startswith("c:")),
        key=lambda one: site.store.owners()[one]["n"],
    )
    own = site.store._stripes[0].counters
    read = []
    for owner in ("g:nobody", counting):
        own[owner]["n"] += 1
        before = site.source.read_messages
        (explained,) = (await verified(site)).differences
        own[owner]["n"] -= 1
        read.append((len(explained.event_ids), site.source.read_messages - before))
    (none, twice), (some, less) = read
    assert (none, some) == (0, MAX_IDS)
    assert twice == 2 * sum(site.ends.values())
    assert less < 0.7 * twice
