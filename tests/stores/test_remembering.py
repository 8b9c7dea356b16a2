"""What it costs to remember ids and subjects in Redis, and how they are forgotten."""

from __future__ import annotations

import random

from app.domain.increments import Part
from app.stores.generations import bucket_names
from app.stores.redis import RedisCounters
from app.stores.redis_client import Client
from tests.stores.counting import (
    WINDOW_MS,
    apply,
    increments,
    new_redis_store,
    simple,
    single,
)

BYTES_AN_ID = 12


async def _remembered(client: Client, store: RedisCounters, seen_set: str) -> tuple[int, int, set[str]]:
    """(bytes, members, encodings) of a seen set's buckets."""
    bytes_used = members = 0
    encodings = set()
    async for key in client.scan_iter(match=f"*:s:{seen_set}:*", count=5000):
        bytes_used += await client.memory_usage(key, samples=0)
        members += await client.scard(key)
        encodings.add((await client.object("encoding", key)).decode())
    return bytes_used, members, encodings


async def test_200_000_ids_cost_at_most_12_bytes_each(client: Client) -> None:
    store = await new_redis_store(client)
    chance = random.Random(1)
    offset = 0
    for size in (1, 10, 100, 1_000, 10_000, 50_000, 100_000, 38_889):
        batch = increments(simple(*(chance.getrandbits(64) - 2**63 for _ in range(size))), expected=offset)
        assert (await apply(store, batch)).counted == size
        offset = batch.next_offset
    bytes_used, members, encodings = await _remembered(client, store, "d:10")
    assert members == 200_000
    assert encodings == {"intset"}
    assert bytes_used / members <= BYTES_AN_ID


async def test_the_subjects_of_a_goal_cost_no_more(client: Client) -> None:
    store = await new_redis_store(client)
    chance = random.Random(2)
    unique = Part((), uniques=(("q:goal", (("g:goal", "n"),)),))
    for batch in range(10):
        whose = [single(None, unique, subject=chance.getrandbits(64) - 2**63) for _ in range(2000)]
        await apply(store, increments(singles=whose, expected=batch * 2000))
    bytes_used, members, encodings = await _remembered(client, store, "q:goal")
    assert (members, encodings) == (20_000, {"intset"})
    assert bytes_used / members <= BYTES_AN_ID


async def test_ids_of_any_age_are_forgotten_but_those_that_are_looked_for(client: Client) -> None:
    store = await new_redis_store(client, stripes=2)
    for offset, epoch in enumerate([0, 3, 900, 998, 999, 1_000]):
        for stripe in range(2):
            one = increments(simple(offset, epoch=epoch), expected=offset, stripe=stripe)
            assert (await apply(store, one)).applied
    assert await store.forget_ids_before(1_000 * WINDOW_MS) == 8
    left = {key.decode().partition(":s:d:")[2] async for key in client.scan_iter(match="*:s:d:*", count=1000)}
    assert left == {name for epoch in (999, 1_000) for name in (f"{epoch}", f"{epoch}:00000000")}


async def test_what_is_remembered_is_found_again_however_the_set_has_grown_and_is_forgotten_whole(
    client: Client,
) -> None:
    store = await new_redis_store(client)
    chance = random.Random(3)
    smallest, greatest = -(2**63), 2**63 - 1
    ids = [smallest, greatest, -1, 0, 1, *(chance.randint(smallest, greatest) for _ in range(3_000))]
    prefix, offset = store.generation.prefix(0), 0
    for first in range(0, len(ids), 101):
        for counted in (True, False):
            batch = increments(simple(*ids[first : first + 101]), expected=offset)
            applied = await apply(store, batch)
            offset = batch.next_offset
            assert (applied.counted > 0, applied.duplicate > 0) == (counted, not counted)
        buckets = int(await client.hget(prefix + "s:d:10", "b") or 1)
        found = {key.decode() async for key in client.scan_iter(match=f"{prefix[:-1]}:s:d:10:*", count=5000)}
        assert found <= {f"{prefix}s:d:10:{name}" for name in bucket_names(buckets)}
    again = await apply(store, increments(simple(*ids), expected=offset))
    assert (again.counted, again.duplicate) == (0, len(ids))
    assert await store.forget_ids_before(13 * WINDOW_MS) == 1
    assert not [key async for key in client.scan_iter(match=f"{prefix[:-1]}:s:d:*", count=5000)]
