"""A catalog is as new as the records that are counted by it, also when a commit was slow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app import metrics, refreshing
from app.bootstrap.worker import show_catalog
from app.domain.history import EFFECTIVE_LEAD_MS, TRUSTED_MS, DefinitionHistory, DefinitionVersion, Project
from app.errors import StoreUnavailable
from app.refreshing import CatalogRefresher, CatalogWatch
from tests.builders import NOW, goal

SHOP = Project("shop", "Shop", "UTC", 0)


class Source:
    """Implements DefinitionSource: each read of the history takes the next of `histories`, the last one stays."""

    def __init__(self, histories: Sequence[DefinitionHistory]) -> None:
        self.histories = list(histories)
        self.reads = 0
        self.asked = 0
        self.is_away = False
        self.since: list[int | None] = []

    def revision(self) -> tuple[int, int]:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("sql", "away")
        return self.histories[0].revision, self.histories[0].as_of

    def history(self, since: int | None = None) -> DefinitionHistory:
        self.since.append(since)
        self.reads += 1
        return self.histories.pop(0) if len(self.histories) > 1 else self.histories[0]


def history(version: DefinitionVersion, as_of: int = NOW, revision: int = 1) -> DefinitionHistory:
    return DefinitionHistory(revision, as_of, [SHOP], [version])


def beginning(refresher: CatalogRefresher) -> int:
    """When the one goal of the catalog in use begins to act."""
    (made,) = refresher.current.projects["shop"].goals
    return made.effective_from


def starting_at(moment: int) -> DefinitionVersion:
    return replace(goal(), effective_from=moment, created_at=moment)


async def test_a_version_that_was_committed_in_time_is_used_at_once() -> None:
    source = Source([history(starting_at(NOW + EFFECTIVE_LEAD_MS - 5))])
    refresher = CatalogRefresher(source)
    await refresher.refresh()
    assert (source.reads, beginning(refresher)) == (1, NOW + EFFECTIVE_LEAD_MS - 5)


async def test_what_changed_is_read_alone_unless_the_database_was_away_or_went_back() -> None:
    source = Source([history(starting_at(0), revision=revision) for revision in (5, 6, 8, 7)])
    refresher = CatalogRefresher(source)
    await refresher.refresh()
    await refresher.refresh()
    source.is_away = True
    with pytest.raises(StoreUnavailable):
        await refresher.refresh()
    source.is_away = False
    await refresher.refresh()
    await refresher.refresh()
    assert source.since == [None, 5, None, None]


async def test_an_old_catalog_is_read_once() -> None:
    source = Source([history(starting_at(NOW - 60_000))])
    await CatalogRefresher(source).refresh()
    assert source.reads == 1


async def test_new_records_press_for_asking_ahead_of_them_and_old_ones_do_not() -> None:
    refresher = CatalogRefresher(Source([history(starting_at(0))]))
    await refresher.refresh()
    await refresher.reach(NOW - 1)
    assert not refresher.is_pressing
    await refresher.reach(NOW)
    assert refresher.is_pressing


async def test_records_that_are_older_than_the_catalog_never_wait_for_the_database() -> None:
    source = Source([history(starting_at(0))])
    refresher = CatalogRefresher(source)
    await refresher.refresh()
    source.is_away = True
    await refresher.reach(NOW + TRUSTED_MS - 1)
    assert refresher.known_at == NOW


async def test_a_record_beyond_what_the_catalog_is_trusted_for_asks_the_database() -> None:
    source = Source([history(starting_at(0)), history(starting_at(0), NOW + 10_000, revision=2)])
    refresher = CatalogRefresher(source)
    await refresher.refresh()
    await refresher.reach(NOW + TRUSTED_MS)
    assert refresher.current.revision == 2


async def test_counting_goes_on_when_the_database_is_away() -> None:
    source = Source([history(starting_at(0))])
    refresher = CatalogRefresher(source)
    await refresher.refresh()
    source.is_away = True
    await refresher.reach(NOW + 60_000)
    assert refresher.current.revision == 1


async def test_partitions_that_wait_together_ask_once() -> None:
    source = Source([history(starting_at(0))])
    refresher = CatalogRefresher(source)
    await asyncio.gather(*(refresher.reach(NOW) for _ in range(8)))
    assert source.asked == 1
    await refresher.reach(NOW)
    assert source.asked == 1


async def test_without_any_catalog_nothing_can_be_counted() -> None:
    source = Source([history(starting_at(0))])
    source.is_away = True
    refresher = CatalogRefresher(source)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await refresher.reach(NOW)
    source.is_away = False
    await refresher.reach(NOW)
    assert refresher.current.revision == 1


@pytest.mark.parametrize(("is_saved_again", "left_out"), [(False, 1), (True, 0)])
async def test_a_definition_that_does_not_compile_is_told_of_until_it_is_saved_again(
    caplog: pytest.LogCaptureFixture, is_saved_again: bool, left_out: int
) -> None:
    broken = goal(deadline="never")
    versions = [broken]
    if is_saved_again:
        at = NOW - 60_000
        versions = [replace(broken, effective_until=at), replace(goal(), effective_from=at, revision=2)]
    refresher = CatalogRefresher(Source([DefinitionHistory(2, NOW, [SHOP], versions)]), on_change=show_catalog)
    await refresher.refresh()
    assert metrics.WORKER.get_sample_value("scorekeeper_definitions_left_out") == left_out
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == left_out
    assert len(refresher.current.left_out) == 1, "events of its time go uncounted"


async def test_a_new_revision_is_told_and_so_is_that_the_database_is_away_or_back() -> None:
    source = Source([history(starting_at(0))])
    refresher = CatalogRefresher(source)
    told: list[tuple[int, bool]] = []

    async def tell() -> None:
        told.append((refresher.current.revision, refresher.is_out_of_touch))
        raise StoreUnavailable("redis", "what cannot be told stops no look")

    watch, pauses = CatalogWatch(refresher, tell), []
    for is_away in (False, False, True, True, False, False):
        source.is_away = is_away
        await watch.look()
        pauses.append(watch.pause_seconds())
    assert told == [(1, False), (1, True), (1, False)]
    here, away = refreshing.REFRESH_SECONDS, refreshing.LOOK_FOR_RETURN_SECONDS
    assert pauses == [here, here, away, away, here, here]
    await refresher.reach(NOW)
    assert watch.pause_seconds() == refreshing.REFRESH_AHEAD_SECONDS, "new records come"
