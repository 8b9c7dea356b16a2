"""The contract of CounterStore for backfills: a counting of its own, in memory and in both versions of Redis."""

from __future__ import annotations

from dataclasses import replace

from app.domain.fields import FILLED, in_backfill
from app.domain.increments import Position
from app.stores.redis import RedisCounters
from app.stores.redis_client import Client
from tests.stores.counting import (
    GOAL,
    POSITION,
    WINDOW_MS,
    Store,
    apply,
    everything,
    increments,
    new_redis_store,
    simple,
    state_of,
)

NAME = "goal~7"
OTHER = Position("events", 1, "first-topic")


async def number(store: Store, owner: str) -> int:
    if isinstance(store, RedisCounters):
        own = await store.backfill_snapshot(NAME, "goal", 0)
        return own[owner].get("n", 0)
    return dict(store.owner(in_backfill(NAME, owner))).get("n", 0)


async def test_a_backfill_counts_the_same_ids_again_and_moves_its_own_checkpoint(store: Store) -> None:
    await apply(store, increments(simple(1, 2, 3)))
    assert await store.open_backfills({NAME: 0}, [POSITION, OTHER]) == {NAME: [0, 0]}
    before = await state_of(store)
    applied = await apply(store, replace(increments(simple(1, 2)), backfill=NAME))
    assert (applied.applied, applied.counted) == (True, 2)
    assert await store.open_backfills({NAME: 0}, [POSITION, OTHER]) == {NAME: [2, 0]}
    assert await number(store, GOAL[0]) == 2
    after = await state_of(store)
    assert (after.checkpoints, after.partitions, after.projects) == (
        before.checkpoints,
        before.partitions,
        before.projects,
    )
    assert after.counters[GOAL[0]] == before.counters[GOAL[0]] == {"n": 3}


async def test_the_same_part_of_a_backfill_again_changes_nothing(store: Store) -> None:
    await store.open_backfills({NAME: 0}, [POSITION])
    part = replace(increments(simple(1, 2, without_id=4)), backfill=NAME)
    await apply(store, part)
    again = await apply(store, part)
    assert (again.applied, again.checkpoint) == (False, part.next_offset)
    assert await number(store, GOAL[0]) == 6


async def test_what_is_noted_of_a_backfill_adds_up(store: Store) -> None:
    await store.open_backfills({NAME: 0}, [POSITION])
    assert await store.note_backfill(NAME, 0, {"done a": 1, "total a": 5}) == {"done a": 1, "total a": 5}
    assert await store.note_backfill(NAME, 0, {"done a": 2}) == {"done a": 2, "total a": 5}


async def test_a_backfill_that_ended_leaves_no_key(client: Client) -> None:
    store = await new_redis_store(client)
    await apply(store, increments(simple(1)))
    before = await everything(client)
    await store.open_backfills({NAME: 0, "goal~70": 0}, [POSITION])
    await apply(store, replace(increments(simple(1, 2)), backfill=NAME))
    await store.note_backfill(NAME, 0, {FILLED: 1})
    assert await store.backfill_names() == {NAME, "goal~70"}
    await store.drop_backfill(NAME)
    assert await store.backfill_names() == {"goal~70"}
    await store.drop_backfill("goal~70")
    assert await everything(client) == before


async def test_ids_are_forgotten_only_where_nothing_old_is_still_read(client: Client) -> None:
    store = await new_redis_store(client)
    for name in (NAME, "late~1"):
        await store.open_backfills({name: 0}, [POSITION])
        await apply(store, replace(increments(simple(1, epoch=10)), backfill=name))
    await store.note_backfill(NAME, 0, {FILLED: 1})
    assert await store.forget_ids_before(20 * WINDOW_MS) == 1
    again = [
        await apply(store, replace(increments(simple(1, epoch=10), expected=1), backfill=name))
        for name in (NAME, "late~1")
    ]
    assert [one.counted for one in again] == [1, 0]
