"""What only Redis can do to counters: keys of another type, lost generations, full memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import redis

from app.domain.fields import experiment_id
from app.domain.increments import Increments, Part, Position, Whose
from app.domain.witness import Witness
from app.errors import GenerationMissing, StoreUnavailable
from app.stores.generations import Generations
from app.stores.redis import RedisCounters
from app.stores.redis_client import Client, connect
from app.stores.redis_signals import RedisSignals
from tests.servers.redises import RedisServer
from tests.stores.counting import (
    LAST,
    POSITION,
    apply,
    everything,
    exposure,
    increments,
    new_redis_store,
    simple,
    single,
    state_of,
)

GUARDED = single(
    9, Part((("g:x", "n"),), guard=("o:cg", Whose.SESSION), uniques=(("q:x", (("g:x", "n@1"),)),)), session=1, subject=2
)


TESTED = single(
    7, Part((("g:x", "n"),), conversion_goal="cg"), values=[(3, 5)], subject=2, assignments=(("test", "a"),)
)
TEST = experiment_id("shop", "test")


def full_batch(expected: int = 0) -> Increments:
    """A batch that writes keys of every kind."""
    valued = single(8, Part((), valued=(("g:v", "n"),)), values=[(3, 5)])
    return increments(
        simple(1, 2, 3, last=(LAST,), moments=(3, 5, 4)),
        simple(4, epoch=11),
        singles=[GUARDED, valued, TESTED],
        expected=expected,
        exposures={exposure("test", "a", 2): 1_000, exposure("test", "b", 3): 1_001},
    )


# -- keys that are not ours any more


@pytest.mark.parametrize(
    "name",
    [
        *("cp", "wm", "acct", "p:shop", "g:goal", "g:x", "g:v", "s:d:9", "s:d:10", "s:d:11", "s:o:cg", "s:q:x"),
        *(f"{seen}:00000000" for seen in ("s:d:10", "s:d:11", "s:o:cg", "s:q:x")),
        *(f"x:{TEST}", "y:shop", f"l:{TEST}", f"l:{TEST}:00000000", f"l:{TEST}:cg", f"l:{TEST}:cg:00000000"),
    ],
)
async def test_a_key_of_another_type_stops_the_batch_before_anything_changes(client: Client, name: str) -> None:
    store = await new_redis_store(client)
    await client.set(store.generation.prefix(0) + name, "somebody else's")
    before = await everything(client)
    with pytest.raises(StoreUnavailable):
        await apply(store, full_batch())
    assert await everything(client) == before
    await client.delete(store.generation.prefix(0) + name)
    assert (await apply(store, full_batch())).counted == 7


@pytest.mark.parametrize(
    ("owner", "field", "value"),
    [
        ("g:goal", "n", "many"),
        ("g:v", "v", "1.5"),
        ("g:v", "u", str(2**63 - 1)),
        ("g:goal", "last", "yesterday"),
        ("p:shop", "received", "x"),
        ("p:shop", "counted", str(2**63 - 1)),
        ("acct", f"{POSITION.name}|counted", "x"),
        ("s:d:10", "n", "x"),
        (f"x:{TEST}", "e|a", "x"),
        (f"x:{TEST}", "u|cg|a", str(2**63 - 1)),
        ("y:shop", "#", "x"),
        (f"l:{TEST}", "n", "x"),
    ],
)
async def test_a_number_that_cannot_grow_stops_the_batch_before_anything_changes(
    client: Client, owner: str, field: str, value: str
) -> None:
    store = await new_redis_store(client)
    await apply(store, increments(simple(100)))
    key = store.generation.prefix(0) + owner
    await client.hset(key, field, value)
    before = await contents(client)
    with pytest.raises(StoreUnavailable):
        await apply(store, full_batch(1))
    assert await contents(client) == before


@pytest.mark.parametrize(("family", "many"), [("s:d:10", 120), ("s:q:x", 120), (f"l:{TEST}", 60)])
async def test_a_split_that_is_refused_stops_the_batch_before_anything_changes(
    client: Client, family: str, many: int
) -> None:
    chance, unique = random.Random(4), Part((), uniques=(("q:x", (("g:x", "n"),)),))
    hashes = [chance.randint(-(2**63), 2**63 - 1) for _ in range(many + 20)]

    def of(some: list[int], expected: int) -> Increments:
        subjects = [single(None, unique, subject=one) for one in some]
        sightings = {exposure("test", "a", one): 1 for one in some}
        return increments(simple(*some), singles=subjects, expected=expected, exposures=sightings)

    store = await new_redis_store(client)
    await apply(store, of(hashes[:many], 0))
    upper_half = f"{store.generation.prefix(0)}{family}:20000000"
    await client.set(upper_half, "somebody else's")
    before = await whole_families(client)
    with pytest.raises(StoreUnavailable):
        await apply(store, of(hashes[many:], 2 * many))
    assert await whole_families(client) == before
    await client.delete(upper_half)
    assert (await apply(store, of(hashes[many:], 2 * many))).counted == 40
    assert (await apply(store, of(hashes, 2 * many + 40))).duplicate == len(hashes)
    counted = (await state_of(store)).counters
    assert (counted["g:x"]["n"], counted[f"x:{TEST}"]["e|a"]) == (len(hashes), len(hashes))


async def whole_families(client: Client) -> dict[bytes, object]:
    """`contents`, with what a family remembers in one, whatever its buckets are."""
    found: dict[bytes, object] = {}
    for key, value in (await contents(client)).items():
        family, _, bucket = key.rpartition(b":")
        if len(bucket) == 8 and isinstance(value, set | dict):
            found[family + b":*"] = {*cast("set[bytes]", found.get(family + b":*", set())), *value}
        else:
            found[key] = {f: n for f, n in value.items() if f != b"b"} if isinstance(value, dict) else value
    return found


async def contents(client: Client) -> dict[bytes, object]:
    """Every key's value, without the fields that are 0."""
    found: dict[bytes, object] = {}
    async for key in client.scan_iter(count=1000):
        kind = await client.type(key)
        if kind == b"hash":
            own = {name: number for name, number in (await client.hgetall(key)).items() if number != b"0"}
            if own:
                found[key] = own
        elif kind == b"set":
            found[key] = await client.smembers(key)
        else:
            found[key] = await client.get(key)
    return found


# -- generations that are gone


async def test_a_missing_generation_is_refused(client: Client) -> None:
    store = await new_redis_store(client)
    await apply(store, full_batch())
    await client.flushall()
    with pytest.raises(GenerationMissing):
        await apply(store, full_batch(7))
    with pytest.raises(GenerationMissing):
        await store.checkpoints([POSITION])
    assert await client.dbsize() == 0


async def test_another_generation_of_the_same_number_is_refused(client: Client) -> None:
    old = await new_redis_store(client)
    await apply(old, full_batch())
    await client.flushall()
    new = await new_redis_store(client)
    assert new.generation.number == old.generation.number
    before = await everything(client)
    for expected in (0, 7):
        with pytest.raises(GenerationMissing):
            await apply(old, full_batch(expected))
    with pytest.raises(GenerationMissing):
        await old.checkpoints([POSITION])
    assert await everything(client) == before


async def test_a_stripe_that_was_emptied_alone_is_noticed_and_counted_again(client: Client) -> None:
    store = await new_redis_store(client, stripes=3)
    batch = [increments(simple(stripe), stripe=stripe, next_offset=5) for stripe in range(3)]
    await store.apply(batch)
    async for key in client.scan_iter(match="{sk:1:1*}:*"):
        await client.delete(key)
    with pytest.raises(GenerationMissing):
        await store.checkpoints([POSITION])
    assert await Generations(client).restore_records(store.generation) == [1]
    assert await store.checkpoints([POSITION]) == [[5, 0, 5]]


async def test_stripes_answer_each_for_itself(client: Client) -> None:
    store = await new_redis_store(client, stripes=2)
    await store.apply([increments(simple(1), stripe=1, next_offset=5)])
    batch = [increments(simple(2), stripe=stripe, next_offset=5) for stripe in range(2)]
    assert [applied.applied for applied in await store.apply(batch)] == [True, False]
    assert await store.checkpoints([POSITION]) == [[5, 5]]


# -- what is not complete


async def test_counts_are_as_fresh_as_the_slowest_position_that_is_expected(client: Client) -> None:
    store = await new_redis_store(client)
    begun = store.generation.created_at
    other = Position(POSITION.topic, 1, POSITION.incarnation)
    await store.expect_positions([POSITION, other])
    await store.report_freshness({POSITION: (begun + 50, 7)}, begun + 60)
    assert min(at for at, _, _ in (await store.freshness()).values()) == 0
    await store.report_freshness({other: (begun + 40, 0)}, begun + 60)
    assert min(at for at, _, _ in (await store.freshness()).values()) == begun + 40

    # An added partition is behind, but what was complete does not become a rebuild.
    added = Position(POSITION.topic, 2, POSITION.incarnation)
    await store.expect_positions([POSITION, other, added])
    assert min(at for at, _, _ in (await store.freshness()).values()) == begun

    # Of a topic that was created again the old positions are not waited for.
    again = Position(POSITION.topic, 0, "another")
    await store.expect_positions([again])
    assert set(await store.freshness()) == {again.name}


async def test_witnesses_are_remembered_as_long_as_their_topic_and_their_generation_are_there(client: Client) -> None:
    store = await new_redis_store(client)
    await store.expect_positions([POSITION])
    old, new = Witness(3, 2**40, 5), Witness(4, 2**40, 6)
    assert await store.tell_witness(POSITION, 0, None, old)
    await store.report_witnesses({})
    assert await store.witnesses([POSITION]) == [{POSITION.name: old}]
    assert not await store.tell_witness(POSITION, 0, None, new)
    await store.report_witnesses({POSITION: [new]})
    assert await store.witnesses([POSITION]) == [{POSITION.name: old}], "nobody may count of it yet"
    assert await store.tell_witness(POSITION, 0, old._replace(offset=1), new)
    other, newer = Position(POSITION.topic, 1, POSITION.incarnation), new._replace(offset=2**41)
    await store.report_witnesses({other: [newer], POSITION: [newer]})
    assert await store.witnesses([POSITION]) == [{POSITION.name: newer}], "nobody may count of the other yet"
    await store.expect_positions([Position(POSITION.topic, 0, "another")])
    assert await store.witnesses([POSITION]) == [{}]
    await client.flushall()
    with pytest.raises(GenerationMissing):
        await store.report_witnesses({POSITION: [Witness(3, 1, 5)]})
    assert await client.keys("*") == []


async def test_each_stripe_has_a_witness_of_its_own(client: Client) -> None:
    store = await new_redis_store(client, 2)
    first, second, newer = Witness(3, 5, 5), Witness(4, 9, 6), Witness(4, 12, 7)
    assert await store.tell_witness(POSITION, 0, None, first)
    assert await store.tell_witness(POSITION, 1, None, second)
    await store.report_witnesses({POSITION: [newer, newer]})
    assert await store.witnesses([POSITION]) == [{POSITION.name: first}, {POSITION.name: newer}]
    await store.expect_positions([POSITION])
    await store.expect_positions([Position(POSITION.topic, 0, "another")])
    assert await store.witnesses([POSITION]) == [{}, {}]


async def test_a_witness_of_a_log_that_another_took_the_place_of_is_refused(client: Client) -> None:
    store = await new_redis_store(client)
    before, after = Witness(4, 9, 6), Witness(4, 3, 8, line=1)
    assert await store.tell_witness(POSITION, 0, None, before)
    assert await store.tell_witness(POSITION, 0, before, after)
    await store.report_witnesses({POSITION: [before._replace(offset=12)]})
    assert not await store.tell_witness(POSITION, 0, before, before)
    assert await store.witnesses([POSITION]) == [{POSITION.name: after}]


async def test_a_topic_that_is_not_listed_any_more_is_not_waited_for(client: Client) -> None:
    store = await new_redis_store(client)
    removed = Position("removed", 0, "x")
    await store.report_freshness({POSITION: (50, 7), removed: (20, 7)}, 60)
    assert await store.wait_only_for({POSITION.topic, removed.topic, "new"}) == []
    assert await store.wait_only_for({POSITION.topic}) == [removed.name]
    assert set(await store.freshness()) == {POSITION.name}


async def test_the_moment_is_that_of_redis_whatever_this_machines_clock_says(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, _ = await client.time()
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    assert 0 <= await RedisSignals(client).now() - seconds * 1000 < 60_000


# -- a Redis that refuses


async def test_a_script_that_redis_forgot_is_sent_again(client: Client) -> None:
    store = await new_redis_store(client)
    await apply(store, increments(simple(1)))
    await client.script_flush()
    assert (await apply(store, increments(simple(2), expected=1))).applied


def _full(plain: redis.Redis) -> Callable[[], object]:
    plain.config_set("maxmemory", 1)
    return lambda: plain.config_set("maxmemory", 0)


def _read_only(plain: redis.Redis) -> Callable[[], object]:
    plain.replicaof("127.0.0.1", 1)
    return lambda: plain.replicaof("NO", "ONE")


def _cannot_save(plain: redis.Redis) -> Callable[[], object]:
    plain.config_set("min-replicas-to-write", 1)
    return lambda: plain.config_set("min-replicas-to-write", 0)


async def test_a_snapshot_has_the_owners_that_were_made_while_it_was_taken(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await new_redis_store(client)
    look, made = RedisCounters._owner_names, ["g:second", "g:first"]

    async def look_while_it_is_counted(self: RedisCounters, prefix: str) -> set[str]:
        names = await look(self, prefix)
        if made:
            ((expected,),) = await store.checkpoints([POSITION])
            await apply(store, increments(simple(expected, counters=((made.pop(), "n"),)), expected=expected))
        return names

    monkeypatch.setattr(RedisCounters, "_owner_names", look_while_it_is_counted)
    taken = await store.snapshot()
    monkeypatch.undo()
    assert {"g:first", "g:second"} <= taken[0].keys()
    assert taken == await store.snapshot()


@pytest.mark.parametrize("refuse", [_full, _read_only, _cannot_save])
async def test_a_redis_that_refuses_to_write_is_read_by_status_and_verify(
    client: Client, redis_url: str, refuse: Callable[[redis.Redis], Callable[[], object]]
) -> None:
    store = await new_redis_store(client)
    await apply(store, full_batch())
    await store.open_backfills({"goal@1": 0}, [POSITION])
    await apply(store, replace(increments(simple(1)), backfill="goal@1"))
    before = await store.snapshot()
    filled = await store.backfill_snapshot("goal@1", "goal", 0)
    assert before[0]["cp"]
    assert filled["cp"]
    with redis.Redis.from_url(redis_url) as plain:
        allow = refuse(plain)
        try:
            assert await store.snapshot() == before
            assert await store.backfill_snapshot("goal@1", "goal", 0) == filled
        finally:
            allow()


@pytest.mark.parametrize("refuse", [_full, _read_only, _cannot_save])
async def test_a_redis_that_refuses_to_write_changes_nothing(
    client: Client, redis_url: str, refuse: Callable[[redis.Redis], Callable[[], object]]
) -> None:
    store = await new_redis_store(client)
    await apply(store, full_batch())
    before = await state_of(store)
    with redis.Redis.from_url(redis_url) as plain:
        allow = refuse(plain)
        try:
            with pytest.raises(StoreUnavailable):
                await apply(store, full_batch(7))
        finally:
            allow()
    assert await state_of(store) == before
    assert (await apply(store, full_batch(7))).duplicate == 7


async def test_a_redis_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    client = connect(server.url, name="test", timeout_seconds=60.0)
    try:
        store = await new_redis_store(client)
        server.kill()
        with pytest.raises(StoreUnavailable):
            await apply(store, full_batch())
        server.start()
        with pytest.raises(GenerationMissing):
            await apply(store, full_batch())
    finally:
        await client.aclose()
        server.stop()
