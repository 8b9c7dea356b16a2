"""Laws over any sequence of batches: the store in memory and the one in Redis always hold the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.increments import Increments, Part, Position, Simple, Single, Whose
from app.stores.memory import MemoryCounters
from app.stores.redis_client import connect
from tests.stores.counting import adds_up, apply, exposure, increments, new_redis_store, simple, single, state_of

PARTS = [
    Part((("g:a", "n"), ("h:a", "n.1")), last=("g:a", "c:b")),
    Part((("c:b", "n"),), guard=("o:b", Whose.SESSION), conversion_goal="b", last=("c:b",)),
    Part((("c:c", "n"),), guard=("o:c", Whose.SUBJECT)),
    Part((), valued=(("g:d", "n@1"), ("h:d", "n/2026-01-01")), conversion_goal="d"),
    Part((("g:e", "d"),), uniques=(("q:e", (("g:e", "n"),)), ("q:e@1", (("g:e", "n@1"),)))),
    Part((), valued=(("g:f", "n"),), guard=("o:f", Whose.SESSION), uniques=(("q:f", (("g:f", "n@1"),)),)),
]
IDS = st.one_of(st.integers(-6, 6), st.sampled_from([2**63 - 1, -(2**63), 10**9, -(10**9), 10**18]))
EPOCHS = st.integers(10, 13)
WHOLES = st.one_of(st.integers(-(10**12), 10**12), st.integers(-9 * 10**14, 9 * 10**14))
"""Some greater than an event may have, so that a few make a sum that no Lua number holds."""
VALUES = st.one_of(st.none(), st.tuples(WHOLES, st.integers(0, 999_999)))
KEYS, VARIANTS = st.sampled_from(["x", "y|\n{"]), st.sampled_from(["a", "b", "é|", "ab"])
EXPOSURES = st.dictionaries(
    st.builds(
        exposure,
        KEYS,
        VARIANTS,
        st.none() | IDS,
        st.sampled_from(["shop", "other"]),
    ),
    st.integers(1_000, 1_003),
    max_size=5,
)
MOMENTS = st.integers(1, 2**44)
LAST = st.sampled_from([(), ("g:a",), ("g:a", "c:b")])


@st.composite
def simples(draw: st.DrawFn) -> Simple:
    ids = draw(st.lists(IDS, max_size=6, unique=True))
    without_id = draw(st.integers(0, 2))
    return simple(
        *ids,
        epoch=draw(EPOCHS),
        without_id=without_id,
        project=draw(st.sampled_from(["shop", "other"])),
        last=draw(LAST),
        moments=[draw(MOMENTS) for _ in ids],
        newest_without_id=draw(MOMENTS) if without_id else 0,
    )


@st.composite
def singles(draw: st.DrawFn) -> Single:
    parts = draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
    return single(
        draw(st.none() | IDS),
        *parts,
        values=[draw(VALUES) for _ in parts],
        epoch=draw(EPOCHS),
        sign=draw(st.sampled_from([1, 1, 1, -1])),
        session=draw(st.none() | IDS),
        subject=draw(st.none() | IDS),
        requires=draw(st.none() | st.none() | IDS),
        assignments=tuple(draw(st.dictionaries(KEYS, VARIANTS, max_size=2)).items()),
        occurred_at=draw(st.none() | MOMENTS),
    )


BATCHES = st.builds(
    lambda many, some, expected, partition, exposures: increments(
        *many,
        singles=some,
        expected=expected,
        next_offset=expected + 1,
        position=Position("events", partition, "t"),
        exposures=exposures,
    ),
    st.lists(simples(), max_size=3),
    st.lists(singles(), max_size=5),
    st.integers(0, 2),
    st.integers(0, 1),
    EXPOSURES,
)


async def _assert_twins_agree(redis_url: str, batches: Sequence[Increments]) -> None:
    client = connect(redis_url, name="test", timeout_seconds=60.0)
    try:
        memory, in_redis = MemoryCounters(), await new_redis_store(client)
        for batch in batches:
            assert await apply(memory, batch) == await apply(in_redis, batch)
        here, there = await state_of(memory), await state_of(in_redis)
        assert here == there
        assert here.accounts_add_up()
    finally:
        await client.aclose()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(BATCHES, max_size=12))
def test_both_stores_agree_after_any_batches(redis_url: str, batches: list[Increments]) -> None:
    asyncio.run(_assert_twins_agree(redis_url, batches))


@pytest.mark.parametrize("seed", range(3))
async def test_both_stores_agree_over_seen_sets_that_grow_and_repeat(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    batches, offset = [], 0
    for _ in range(20):
        ids = [chance.randrange(-3000, 3000) * 982_451_653_001 for _ in range(400)]
        whose = [chance.randrange(2000) for _ in range(50)]
        some = [single(None, PARTS[1], PARTS[4], session=who, subject=-who) for who in whose]
        moments = [chance.randrange(1_000_000) for _ in ids]
        many = simple(*ids, epoch=chance.randrange(10, 12), last=("g:a",), moments=moments)
        batches.append(increments(many, singles=some, expected=offset))
        offset = batches[-1].next_offset
    await _assert_twins_agree(redis_url, batches)


def test_an_account_that_does_not_add_up_is_noticed() -> None:
    assert adds_up({"received": 3, "counted": 1, "duplicate": 1, "rejected:empty": 1})
    assert not adds_up({"received": 3, "counted": 1, "duplicate": 1})
