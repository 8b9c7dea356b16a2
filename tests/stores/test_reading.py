"""What readers are told by a mark: whether reading again would give the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from app.domain.beginning import Beginning
from app.domain.increments import Part, Position
from app.patience import IDLE_SECONDS, Leisure, giving_way, leisure
from app.ports import CounterReader, Known, Wanted
from app.stores.generations import ACTIVE
from app.stores.memory import MemoryCounters
from app.stores.redis import RedisCounters
from app.stores.redis_client import Client
from app.stores.redis_reader import RedisReader
from tests.stores.counting import (
    LAST,
    POSITION,
    SHOP,
    Store,
    apply,
    increments,
    new_redis_store,
    simple,
    single,
)

WANTED = [Wanted(SHOP, "g:goal", ("n",))]


async def reader_of(store: Store, client: Client) -> CounterReader:
    if isinstance(store, MemoryCounters):
        return store
    await client.set(ACTIVE, store.generation.number)
    return RedisReader(client, store.generation)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, client: Client) -> Store:
    return MemoryCounters() if request.param == "memory" else await new_redis_store(client)


async def test_a_mark_is_another_one_once_something_was_counted(store: Store, client: Client) -> None:
    reader = await reader_of(store, client)
    first = await reader.read(WANTED)
    assert await reader.mark(SHOP) == first.mark
    await apply(store, increments(simple(1)))
    assert await reader.mark(SHOP) != first.mark
    second = await reader.read(WANTED)
    assert list(second.owners) == [{"n": 1}]
    assert await reader.mark(SHOP) == second.mark


async def test_a_mark_is_another_one_once_partitions_are_fresher_or_messages_were_lost(client: Client) -> None:
    store = await new_redis_store(client)
    reader = await reader_of(store, client)
    marks = [await reader.mark(SHOP)]
    await store.report_freshness({POSITION: (5, 0)}, 10)
    marks.append(await reader.mark(SHOP))
    await store.report_freshness({POSITION: (6, 0)}, 11)
    marks.append(await reader.mark(SHOP))
    for start, moments in ((0, {"at": 4}), (9, {"at": 70, "before": 7}), (5, {"at": 30, "before": 3})):
        await store.report_loss({"position": POSITION.name, "from": start, **moments})
        marks.append(await reader.mark(SHOP))
    assert (await reader.read(WANTED)).lost_at == (3, 4, 7)
    assert all(one != other for one, other in pairwise(marks))


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_what_a_generation_leaves_out_marks_goals_as_a_loss_does(kind: str, client: Client) -> None:
    for left_out_up_to, told in ((4_999, (4_999,)), (None, ())):
        beginning = Beginning(5_000, {POSITION.name: 40}, left_out_up_to)
        store: Store = MemoryCounters(beginning=beginning)
        if kind == "redis":
            store = await new_redis_store(client, beginning=beginning)
        reader = await reader_of(store, client)
        assert (await reader.read(WANTED)).lost_at == told


async def test_it_is_no_loss_and_stands_among_the_losses_in_order(client: Client) -> None:
    store = await new_redis_store(client, beginning=Beginning(5_000, {POSITION.name: 40}, 4_999))
    assert await store.losses() == []
    for start, at in ((0, 6_000), (9, 1_000)):
        await store.report_loss({"position": POSITION.name, "from": start, "at": at})
    assert (await (await reader_of(store, client)).read(WANTED)).lost_at == (1_000, 4_999, 6_000)


async def test_a_switch_to_a_generation_that_begins_late_and_back_is_told_by_the_mark(client: Client) -> None:
    whole = await new_redis_store(client)
    late = await new_redis_store(client, beginning=Beginning(5_000, {POSITION.name: 40}, 4_999))
    reader = RedisReader(client)
    found = []
    for store in (whole, late, whole):
        await client.set(ACTIVE, store.generation.number)
        reading = await reader.read(WANTED)
        assert await reader.mark(SHOP) == reading.mark
        found.append((reading.lost_at, reading.mark))
    assert [lost_at for lost_at, _ in found] == [(), (4_999,), ()]
    assert found[0] == found[2]
    assert found[0][1] != found[1][1]


async def test_who_takes_a_loss_back_leaves_what_another_worker_told_of_it(client: Client) -> None:
    store = await new_redis_store(client)
    ours, theirs = ({"position": POSITION.name, "from": 5, "to": 9, "at": at} for at in (1, 2))
    await store.report_loss(ours)
    await store.report_loss(theirs)
    await store.take_back_loss(ours)
    assert await store.losses() == [theirs]
    await store.take_back_loss(theirs)
    assert await store.losses() == []


async def test_a_mark_is_another_one_in_another_generation(client: Client) -> None:
    marks = []
    for _ in range(2):
        store = await new_redis_store(client)
        marks.append(await (await reader_of(store, client)).mark(SHOP))
    assert marks[0] != marks[1]


async def test_what_is_counted_while_counters_are_read_is_told_by_the_mark(client: Client) -> None:
    """The checkpoints are asked for first: a mark that is too old costs a look, one that is too new hides a count."""
    store = await new_redis_store(client)
    reader = await reader_of(store, client)
    asked: list[str] = []
    plain = client.pipeline

    def watched(transaction: bool = False) -> object:
        pipe = plain(transaction=transaction)
        execute = pipe.execute

        async def note() -> object:
            asked.extend(str(command[0][0]) for command in pipe.command_stack)
            return await execute()

        pipe.execute = note
        return pipe

    client.pipeline = watched
    await reader.read([*WANTED, Wanted(SHOP, "h:goal", ("*",))])
    assert asked[-2:] == ["HGETALL", "EVAL"]


async def test_other_stripes_do_not_move_a_mark(client: Client) -> None:
    store = await new_redis_store(client, stripes=3)
    assert isinstance(store, RedisCounters)
    reader = await reader_of(store, client)
    own = store.generation.rules.stripe_of(SHOP)
    before = await reader.mark(SHOP)
    await apply(store, increments(next_offset=5, stripe=(own + 1) % 3))
    assert await reader.mark(SHOP) == before
    await apply(store, increments(next_offset=5, stripe=own, position=Position("events", 3, "x")))
    assert await reader.mark(SHOP) != before


@pytest.mark.parametrize(
    ("rest", "given"),
    [(0, {"n": 2, "other": 2}), (1, {"n": 2, "other": 2, "last": 9}), (-1, {"n": 2, "other": 2, "last": 9})],
)
async def test_what_is_known_is_not_given_again(store: Store, client: Client, rest: int, given: dict[str, int]) -> None:
    counters = (("g:goal", "n"), ("g:goal", "other"))
    await apply(store, increments(simple(1, 2, counters=counters, last=(LAST,), moments=(7, 9))))
    asked = Wanted(SHOP, "g:goal", ("none", "last", "n", "other"), Known(("none", "n", "other"), rest))
    reading = await (await reader_of(store, client)).read([asked])
    assert list(reading.owners) == [given]


async def test_nothing_may_be_what_is_known(store: Store, client: Client) -> None:
    asked = Wanted(SHOP, "g:never", ("n", "other", "last"), Known(("n", "other"), 0))
    (found,) = (await (await reader_of(store, client)).read([asked])).owners
    assert found == {}


def work(seconds: float) -> None:
    """Hold the event loop."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_what_redis_answered_is_not_waited_for(client: Client) -> None:
    """Who reads at leisure beside others who always have something to do took Redis for away: what he did himself, and
    all that they did meanwhile, was counted as waiting for it."""
    reader, turns = await reader_of(await new_redis_store(client), client), 0

    async def be_busy() -> None:
        nonlocal turns
        while True:
            turns += 1
            work(2 * IDLE_SECONDS)
            await asyncio.sleep(0)

    busy = asyncio.create_task(be_busy())
    asked = [Wanted(SHOP, f"g:{number}", ("n", "v", "u", "last")) for number in range(20_000)]
    leisure.set(Leisure())
    reading = await reader.read(asked)
    turns = 0
    owners = [one async for one in giving_way(reading.owners)]
    to_work_out, turns = turns, 0
    assert [one async for one in giving_way(owners)] == [{}] * len(asked)
    busy.cancel()
    assert to_work_out > 3 * turns


@pytest.mark.parametrize("names", [("n", "v", "u"), ("last", "v"), ("*",)])
async def test_a_sum_is_read_whole_whatever_was_carried_of_it(
    store: Store, client: Client, names: Sequence[str]
) -> None:
    reader = await reader_of(store, client)
    part, most = Part((), valued=(("g:goal", "n"),)), 9 * 10**14
    await apply(store, increments(singles=[single(None, part, values=[(most, 7)]) for _ in range(3)]))
    (found,) = (await reader.read([Wanted(SHOP, "g:goal", names)])).owners
    whole = {"n": 3, "v": 3 * most, "u": 21}
    assert found == (whole if names == ("*",) else {name: whole[name] for name in names if name in whole})


async def test_a_field_that_only_looks_like_what_is_carried_is_no_sum(client: Client) -> None:
    store = await new_redis_store(client)
    position = Position("web", 0, "t")
    await apply(store, increments(simple(1), position=position))
    (stripe,) = await store.snapshot()
    assert stripe["cp"] == {position.name: 1}
