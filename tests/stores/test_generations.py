"""Generations are found, created and dropped; also when Redis lost some of their keys and kept others."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from app.domain.parsing import ParsingRules
from app.errors import StoreUnavailable
from app.stores.generations import ACTIVE, Generations, new_rules, spec_key, stripe_prefix
from app.stores.redis_client import Client, as_store_errors, connect
from app.stores.redis_outbox import unsent_receipts
from app.stores.redis_signals import RedisSignals
from tests.servers.redises import RedisClusterServers

RULES = new_rules(ParsingRules(), window_ms=1000, stripes=3)


async def test_any_number_of_processes_open_the_same_generation(client: Client) -> None:
    generations = Generations(client)
    opened = await asyncio.gather(*(generations.ensure_active(RULES, now) for now in range(1, 9)))
    assert len({(one.number, one.identity) for one in opened}) == 1
    assert await generations.numbers() == [opened[0].number]


@pytest.mark.parametrize(
    "lost",
    [
        (ACTIVE,),
        ("sk:generations",),
        (spec_key(1),),
        (ACTIVE, "sk:generations"),
        ("sk:generations", spec_key(1)),
        (ACTIVE, "sk:generations", spec_key(1)),
    ],
    ids=" and ".join,
)
async def test_whatever_key_is_lost_the_next_generation_is_whole(client: Client, lost: tuple[str, ...]) -> None:
    generations = Generations(client)
    before = await generations.ensure_active(RULES, 1)
    await client.delete(*lost)
    after = await generations.ensure_active(new_rules(ParsingRules(), window_ms=1000, stripes=3), 2)
    records = [await client.get(after.prefix(stripe) + "gen") for stripe in range(3)]
    assert records == [after.identity.encode()] * 3
    assert (await generations.active()).identity == after.identity
    assert after.number in await generations.numbers()
    if after.identity != before.identity:
        assert after.number != before.number


async def test_the_stripes_that_were_chosen_for_projects_are_the_generations_for_its_life(client: Client) -> None:
    generations = Generations(client)
    rules = new_rules(ParsingRules(), window_ms=1000, stripes=3, loads={"shop": 5, "blog": 1})
    opened = await generations.ensure_active(rules, 1)
    other = new_rules(ParsingRules(), window_ms=1000, stripes=3, loads={"blog": 5, "shop": 1})
    again = await generations.ensure_active(other, 2)
    assert again == opened
    assert [again.rules.stripe_of(project) for project in ("shop", "blog")] == [0, 2]


async def test_nothing_is_noted_of_a_generation_that_was_lost_meanwhile(client: Client) -> None:
    generations = Generations(client)
    opened = await generations.ensure_active(RULES, 1)
    await client.flushall()
    await generations.finish(opened.number)
    await generations.note_counting(opened.number, 2)
    assert [key async for key in client.scan_iter()] == []


async def test_a_dropped_generation_leaves_no_key(cluster: RedisClusterServers) -> None:
    client = connect(cluster.url, name="test", timeout_seconds=60.0)
    generations = Generations(client)
    shown = await generations.ensure_active(RULES, 1)
    other = await generations.create(RULES, 2)
    await client.hset(other.prefix(2) + "cp", "topic:0", 7)
    await generations.drop(other.number)
    left = {key.decode() async for key in client.scan_iter(match="*")}
    kept = {ACTIVE, "sk:generations", spec_key(shown.number), *(shown.prefix(stripe) + "gen" for stripe in range(3))}
    assert left == kept
    await client.aclose()


async def test_a_driver_that_trips_over_a_closed_connection_is_no_crash(client: Client) -> None:
    """RedisCluster closes every connection when a shard is down, those too that are about to be written to."""
    connection = await client.connection_pool.get_connection()
    await connection.disconnect()
    with pytest.raises(StoreUnavailable, match="the driver failed"), as_store_errors():
        await connection._send_packed_command([b"PING"])


async def test_nudges_end_where_the_driver_trips(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows them begins again: a worker that crashed for it would leave its partitions to nobody."""

    async def be_closed_by_another_task(self: AbstractConnection, **_: object) -> None:
        await self.disconnect()
        await self._send_packed_command([b"PING"])

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "on_connect_check_health", be_closed_by_another_task)
        assert [nudge async for nudge in RedisSignals(client).nudges()] == []


class _Broken:
    def writelines(self, _: object) -> None:
        raise KeyError("deeper than the driver")


async def test_what_a_driver_calls_may_trip_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await client.connection_pool.get_connection()
    with monkeypatch.context() as patch:
        patch.setattr(connection, "_writer", _Broken())
        with pytest.raises(StoreUnavailable, match="KeyError"), as_store_errors():
            await connection._send_packed_command([b"PING"])
    await client.connection_pool.release(connection)


async def test_a_mistake_of_ours_is_no_trouble_with_redis() -> None:
    with pytest.raises(AttributeError), as_store_errors():
        ACTIVE.no_such_name  # type: ignore[attr-defined]  # noqa: B018


async def test_receipts_that_are_not_sent_are_counted_in_any_stripe_and_of_that_generation_alone(
    client: Client,
) -> None:
    assert await unsent_receipts(client, 2) == 0
    for key in ("{sk:2:0}:out:events:0:x", "{sk:2:0}:out:events:0:x", "{sk:2:7}:out:events:1:x", "{sk:21:0}:out:a"):
        await client.xadd(key, {"a receipt": "its body"})
    # A project of such a name.
    await client.hset("{sk:2:0}:p:x}:out:y", "received", 1)
    assert await unsent_receipts(client, 2) == 3


@pytest.mark.parametrize(("shards", "stripes"), [(2, 2), (3, 3), (3, 12), (5, 5), (6, 48), (16, 1_024)])
def test_shards_that_hold_equally_many_slots_hold_equally_many_stripes(shards: int, stripes: int) -> None:
    for number in (1, 2, 17):
        prefixes = [stripe_prefix(number, stripe, stripes) for stripe in range(stripes)]
        assert len(set(prefixes)) == stripes
        slots = [key_slot(prefix.encode()) for prefix in prefixes]
        held = Counter(next(n for n in range(shards) if slot < (n + 1) * 16_384 // shards) for slot in slots)
        assert set(held.values()) == {stripes // shards}


def test_a_stripes_keys_tell_its_generation_and_its_number() -> None:
    assert stripe_prefix(7, 0, 1) == "{sk:7:0}:"
    assert [stripe_prefix(1, stripe, 3) for stripe in range(3)] == ["{sk:1:0}:", "{sk:1:1~4}:", "{sk:1:2}:"]
