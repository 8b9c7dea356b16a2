"""A generation that begins late, and its backfills, count as if the log began there: in memory and in Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.increments import Position
from app.stores.generations import Generations, spec_key
from app.stores.memory import MemoryCounters
from app.stores.redis_client import Client, connect
from tests.servers.redises import RedisClusterServers
from tests.stores.counting import POSITION, Store, apply, increments, new_redis_store, simple

NAME = "goal~7"
ADDED = Position("events", 1, "first-topic")
BEGINNING = Beginning(5_000, {POSITION.name: 40}, 4_999)


@pytest.fixture(params=["memory", "redis"])
async def late(request: pytest.FixtureRequest, client: Client) -> Store:
    if request.param == "memory":
        return MemoryCounters(2, beginning=BEGINNING)
    return await new_redis_store(client, 2, BEGINNING)


async def test_its_checkpoints_stand_where_it_begins_before_anything_was_counted(late: Store) -> None:
    assert late.beginning == BEGINNING
    assert await late.checkpoints([POSITION, ADDED]) == [[40, 40], [0, 0]]
    assert not (await apply(late, increments(simple(1)))).applied
    applied = await apply(late, increments(simple(1), expected=40))
    assert (applied.applied, applied.counted, applied.checkpoint) == (True, 1, 41)
    assert await late.checkpoints([POSITION]) == [[41, 40]]


async def test_its_backfills_begin_there_too(late: Store) -> None:
    assert await late.open_backfills({NAME: 0}, [POSITION, ADDED]) == {NAME: [40, 0]}
    assert (await apply(late, replace(increments(simple(1), expected=40), backfill=NAME))).applied
    assert await late.open_backfills({NAME: 0}, [POSITION]) == {NAME: [41]}


async def test_a_stripe_that_was_emptied_begins_there_again(cluster: RedisClusterServers) -> None:
    """One shard of several was lost; the specification lies in another one."""
    client = connect(cluster.url, name="test", timeout_seconds=60.0)
    store = await new_redis_store(client, 2, BEGINNING)
    await apply(store, increments(simple(1), expected=40))
    await client.delete(*(store.generation.prefix(0) + name for name in ("gen", "cp")))
    assert await Generations(client).restore_records(store.generation) == [0]
    assert await store.checkpoints([POSITION]) == [[40, 40]]
    await client.aclose()


async def test_its_specification_is_remembered(client: Client) -> None:
    store = await new_redis_store(client, 2, BEGINNING)
    generations = Generations(client)
    assert (await generations.get(store.generation.number)).beginning == BEGINNING
    found = await generations.unfinished()
    assert found is not None
    assert found.beginning == BEGINNING
    assert [state.since for state in await generations.states()] == [5_000]


async def test_one_that_says_nothing_of_it_counts_the_whole_log(client: Client) -> None:
    """As every generation of the time before."""
    store = await new_redis_store(client)
    assert not await client.hexists(spec_key(store.generation.number), "beginning")
    assert (await Generations(client).get(store.generation.number)).beginning == WHOLE_LOG
    assert [state.since for state in await Generations(client).states()] == [None]
    assert await store.checkpoints([POSITION]) == [[0]]
