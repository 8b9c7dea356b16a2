"""A rebuild that begins late: where the log begins by then, or since a moment."""

from __future__ import annotations

import pytest

from app import rereading
from app.domain.beginning import Beginning, Spans
from app.recounting import RecountProgress
from tests.builders import NOW
from tests.faults.in_memory import traffic_catalog
from tests.live_site import LiveSite
from tests.rebuild_site import NewGeneration, Stopped, ignore, live_site, rebuild_of


def begins_at(site: LiveSite, offset: int) -> Beginning:
    return Beginning(NOW, {position.name: offset for position in site.log}, left_out_up_to=NOW - 1)


async def test_what_the_log_held_no_more_when_it_began_is_no_loss() -> None:
    """It counts what there is, as docs/how-to/upgrade.md says."""
    site = await live_site()
    store = NewGeneration(begins_at(site, 40))
    rebuild = rebuild_of(site, store)

    async def spans_of_a_cut_log() -> Spans:
        return {position: (40, end) for position, end in site.ends.items()}

    rebuild.spans = spans_of_a_cut_log
    await rebuild.count(ignore)
    assert store.losses == []


async def test_one_that_begins_late_counts_from_there_and_live_counting_goes_on_with_it() -> None:
    site = await live_site()
    store = NewGeneration(begins_at(site, 60))
    site.step = 0
    assert await rebuild_of(site, store).count(ignore) == sum(end - 60 for end in site.ends.values())
    assert store.losses == []
    live = LiveSite(
        site.log, traffic_catalog(), counted=(NewGeneration(begins_at(site, 60)), dict.fromkeys(site.log, 0))
    )
    await live.go_on(100)
    assert store.owners() == live.store.owners() != site.store.owners()


async def test_one_that_begins_late_goes_on_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "CHUNK", 25)
    site = await live_site()
    store = NewGeneration(begins_at(site, 60))

    def stop(progress: RecountProgress) -> None:
        if progress.done >= 50:
            raise Stopped

    with pytest.raises(Stopped):
        await rebuild_of(site, store).count(stop)
    site.step = 0
    counted = sum(own - 60 for (own,) in await store.checkpoints(list(site.log)))
    assert counted >= 50
    assert await rebuild_of(site, store).count(ignore) == sum(end - 60 for end in site.ends.values()) - counted
    whole = NewGeneration(begins_at(site, 60))
    await rebuild_of(site, whole).count(ignore)
    assert store.owners() == whole.owners()


async def test_what_was_deleted_behind_its_beginning_is_a_loss() -> None:
    site = await live_site()
    store = NewGeneration(begins_at(site, 60))
    rebuild, (cut, *_) = rebuild_of(site, store), site.log

    async def spans_of_a_cut_log() -> Spans:
        return {position: (70 if position == cut else 0, end) for position, end in site.ends.items()}

    rebuild.spans = spans_of_a_cut_log
    await rebuild.count(ignore)
    assert [(loss["from"], loss["to"]) for loss in store.losses] == [(60, 70)]


async def test_only_what_begins_at_the_same_messages_is_compared() -> None:
    site = await live_site()
    late, other = (NewGeneration(begins_at(site, offset)) for offset in (60, 61))
    rebuild = rebuild_of(site, late)
    await rebuild.count(ignore)
    assert not await rebuild.begins_like(site)
    assert await rebuild.compare_with(site, ignore) is None
    assert not await rebuild.begins_like(other)

    shown = LiveSite(site.log, traffic_catalog(), step=0, counted=(NewGeneration(late.beginning), site.ends))
    shown.ends = dict.fromkeys(site.log, 0)
    await shown.go_on(200)
    found = await rebuild_of(shown, late).compare_with(shown, ignore)
    assert found is not None
    assert (found.compared > 100, found.differences) == (True, [])


async def test_beginnings_before_what_the_log_holds_are_the_same() -> None:
    """What one of them left out is gone."""
    site = await live_site()
    rebuild = rebuild_of(site, NewGeneration(begins_at(site, 60)))

    async def spans_of_a_cut_log() -> Spans:
        return {position: (60, end) for position, end in site.ends.items()}

    rebuild.spans = spans_of_a_cut_log
    assert await rebuild.begins_like(site)
