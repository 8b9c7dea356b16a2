"""The contract of outboxes: what counted leaves a receipt in the same step, and goes when it is told to."""

from __future__ import annotations

from dataclasses import replace

from app.domain.increments import Part, Position, Receipt, Single, Whose
from app.ports import LeftReceipt
from app.receipting import Outbox
from app.stores.memory import MemoryCounters
from app.stores.redis_outbox import RedisOutbox
from tests.stores.counting import GOAL, POSITION, Store, apply, increments, single

PART = Part((GOAL,), conversion_goal="cg")
GUARDED = Part((GOAL,), guard=("o:cg", Whose.SESSION), conversion_goal="cg")


def outbox_of(store: Store) -> Outbox:
    return store if isinstance(store, MemoryCounters) else RedisOutbox(store._client, store.generation)


def told(ident: int, *parts: Part, **fields: int) -> Single:
    """An event with a receipt for each part."""
    made = single(ident, *parts, **fields)  # type: ignore[arg-type]  # keywords by name
    (change,) = made.changes
    receipts = tuple(Receipt(f"{ident}/{place}", b'{"\xc3\xa9":1}') for place in range(len(parts)))
    return replace(made, changes=(replace(change, receipts=receipts),))


async def left(store: Store, position: Position = POSITION, limit: int = 100) -> list[LeftReceipt]:
    return list(await outbox_of(store).left_receipts(position.name, limit))


async def ids(store: Store, position: Position = POSITION) -> list[str]:
    return [one.receipt.id for one in await left(store, position)]


async def test_what_counts_leaves_a_receipt_and_what_does_not_leaves_none(store: Store) -> None:
    some = [
        told(1, PART),
        told(1, PART),
        told(2, PART, GUARDED),
        told(3, GUARDED, session=5),
        told(4, GUARDED, session=5),
    ]
    await apply(store, increments(singles=[*some, told(9, PART, requires=77), single(6, PART)]))
    assert await ids(store) == ["1/0", "2/0", "3/0"]
    assert (await left(store))[0].receipt.body == b'{"\xc3\xa9":1}'


async def test_a_batch_that_is_refused_leaves_none(store: Store) -> None:
    await apply(store, increments(singles=[told(1, PART)]))
    assert not (await apply(store, increments(singles=[told(2, PART)], expected=7))).applied
    assert await ids(store) == ["1/0"]


async def test_each_position_has_its_own_outbox(store: Store) -> None:
    other = Position("events", 7, "x|{y}:*")
    await apply(store, increments(singles=[told(1, PART)]))
    await apply(store, increments(singles=[told(2, PART)], position=other))
    assert (await ids(store), await ids(store, other)) == (["1/0"], ["2/0"])
    if isinstance(outbox := outbox_of(store), RedisOutbox):
        assert await outbox.positions_with_receipts() == {POSITION.name, other.name}
        assert 0 <= await outbox.oldest_age_ms(other.name) < 600_000
        assert await outbox.oldest_age_ms("none") == 0


async def test_what_is_forgotten_is_what_was_named_also_when_two_forget(store: Store) -> None:
    await apply(store, increments(singles=[told(n, PART) for n in range(5)]))
    outbox, first = outbox_of(store), await left(store, limit=2)
    for _ in range(2):
        await outbox.forget_receipts(POSITION.name, first)
    assert await ids(store) == ["2/0", "3/0", "4/0"]
    await outbox.forget_receipts(POSITION.name, [])
    await outbox.forget_receipts(POSITION.name, await left(store))
    assert await ids(store) == []
    await apply(store, increments(singles=[told(8, PART)], expected=5))
    assert await ids(store) == ["8/0"]
