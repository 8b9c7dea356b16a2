"""The contract of CounterStore: one law for the counters in memory and in both versions of Redis that are used."""

from __future__ import annotations

import pytest

from app.domain.increments import Part, Position, Whose
from tests.stores.counting import GOAL, LAST, POSITION, SHOP, Store, apply, increments, simple, single, state_of

FIRST = Part((GOAL,), guard=("o:cg", Whose.SESSION))
VISITOR = Part((GOAL,), guard=("o:cg", Whose.SUBJECT))
UNIQUE = Part((), uniques=(("q:goal", (GOAL,)),))
VALUED = Part((), valued=(GOAL,))
LASTING = Part((GOAL,), last=(LAST,))
HUGE = 10**12


async def number(store: Store) -> int:
    return (await state_of(store)).counters.get("g:goal", {}).get("n", 0)


async def test_a_batch_counts_and_moves_the_checkpoint(store: Store) -> None:
    applied = await apply(store, increments(simple(1, 2, 3)))
    assert (applied.applied, applied.checkpoint, applied.counted, applied.duplicate) == (True, 3, 3, 0)
    assert await store.checkpoints([POSITION]) == [[3]]
    assert await number(store) == 3


@pytest.mark.parametrize("expected", [0, 2, 4, 2**52])
async def test_a_batch_folded_from_another_checkpoint_changes_nothing(store: Store, expected: int) -> None:
    await apply(store, increments(simple(1, 2, 3)))
    before = await state_of(store)
    applied = await apply(store, increments(simple(4, 5), expected=expected))
    assert (applied.applied, applied.checkpoint) == (False, 3)
    assert await state_of(store) == before


async def test_the_same_batch_again_changes_nothing(store: Store) -> None:
    batch = increments(simple(1, 2, 3, without_id=2))
    await apply(store, batch)
    assert not (await apply(store, batch)).applied
    assert await number(store) == 5


async def test_each_partition_and_each_incarnation_of_a_topic_has_its_own_checkpoint(store: Store) -> None:
    others = [Position("events", 1, "first-topic"), Position("events", 0, "second-topic"), Position("more", 0, "x")]
    await apply(store, increments(simple(1)))
    assert await store.checkpoints([POSITION, *others]) == [[1], [0], [0], [0]]
    for ident, position in enumerate(others, 2):
        assert (await apply(store, increments(simple(ident), position=position))).applied
    assert await number(store) == 4


async def test_a_checkpoint_moves_without_events_too(store: Store) -> None:
    assert (await apply(store, increments(next_offset=2**50))).checkpoint == 2**50
    assert await store.checkpoints([POSITION]) == [[2**50]]
    assert (await apply(store, increments(expected=2**50, next_offset=7))).checkpoint == 7


@pytest.mark.parametrize(
    ("epochs", "counted"),
    [
        ((10, 10), 1),
        ((10, 11), 1),
        ((11, 10), 1),  # the earlier copy lies in another partition, or the log's clock went back
        ((12, 10), 2),
        ((10, 12), 2),
        ((0, 1), 1),
    ],
)
@pytest.mark.parametrize("one_by_one", [(), (0,), (1,), (0, 1)], ids=str)
async def test_an_id_is_found_in_the_epoch_before_and_the_one_after(
    store: Store, epochs: tuple[int, int], counted: int, one_by_one: tuple[int, ...]
) -> None:
    for offset, epoch in enumerate(epochs):
        is_single = offset in one_by_one
        simples = () if is_single else (simple(42, epoch=epoch),)
        await apply(
            store, increments(*simples, singles=[single(42, epoch=epoch)] if is_single else [], expected=offset)
        )
    assert await number(store) == counted


async def test_an_id_counts_once_within_a_batch_across_batches_and_across_partitions(store: Store) -> None:
    other = Position("events", 7, "first-topic")
    await apply(store, increments(simple(1, 1, 2), simple(2, 3, counters=(("g:other", "n"),))))
    await apply(store, increments(simple(3, 2, 1), position=other))
    state = await state_of(store)
    assert state.counters == {"g:goal": {"n": 2}, "g:other": {"n": 1}}
    assert state.projects[SHOP] == {"received": 8, "counted": 3, "duplicate": 5}


@pytest.mark.parametrize("ident", [0, 1, -1, 5, -5, 10**9, -(10**9), 2**63 - 1, -(2**63)])
async def test_any_64_bit_hash_is_an_id(store: Store, ident: int) -> None:
    await apply(store, increments(simple(ident)))
    await apply(store, increments(singles=[single(ident)], expected=1))
    assert await number(store) == 1


async def test_ids_that_differ_in_their_last_bit_are_two(store: Store) -> None:
    await apply(store, increments(simple(2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1)))
    assert await number(store) == 4


async def test_events_without_an_id_always_count(store: Store) -> None:
    await apply(store, increments(simple(without_id=4), singles=[single(None), single(None)]))
    assert await number(store) == 6


@pytest.mark.parametrize(
    ("part", "whose", "counted"),
    [
        (FIRST, [{"session": 1}, {"session": 1}, {"session": 2}], 2),
        (FIRST, [{"session": 1}, {"subject": 1}, {}], 1),
        (VISITOR, [{"subject": 1}, {"subject": 1, "session": 9}, {"subject": 2}, {"session": 1}], 2),
        (UNIQUE, [{"subject": -1}, {"subject": -1}, {"subject": 1}, {}], 2),
    ],
)
async def test_first_times_are_counted_once(
    store: Store, part: Part, whose: list[dict[str, int]], counted: int
) -> None:
    for offset, who in enumerate(whose):
        await apply(store, increments(singles=[single(offset, part, **who)], expected=offset))  # type: ignore[arg-type]  # keywords by name
    assert await number(store) == counted


async def test_first_times_within_one_batch_are_decided_in_the_order_of_the_log(store: Store) -> None:
    first = single(1, Part((("g:first", "n"),), guard=("o:cg", Whose.SESSION)), session=5)
    second = single(2, Part((("g:second", "n"),), guard=("o:cg", Whose.SESSION)), session=5)
    await apply(store, increments(singles=[first, second]))
    assert (await state_of(store)).counters == {"g:first": {"n": 1}}


async def test_what_is_guarded_is_unique_only_where_it_counts(store: Store) -> None:
    part = Part((), guard=("o:cg", Whose.SESSION), uniques=(("q:goal", (GOAL,)),))
    batch = [single(1, part, session=1, subject=1), single(2, part, session=1, subject=2)]
    await apply(store, increments(singles=batch))
    assert await number(store) == 1


async def test_a_duplicate_moves_no_guard(store: Store) -> None:
    await apply(store, increments(simple(1), singles=[single(1, FIRST, session=5), single(2, FIRST, session=5)]))
    assert await number(store) == 2


@pytest.mark.parametrize(
    ("values", "whole", "micro"),
    [
        ([(19, 900_000)], 19, 900_000),
        ([(-20, 100_000)], -20, 100_000),
        ([(5, 0), (-5, 0)], 0, 0),
        ([None], 0, 0),
        ([None, (1, 1)], 1, 1),
        ([(HUGE, 0)] * 50, 50 * HUGE, 0),
        ([(-HUGE, 999_999)] * 3, -3 * HUGE, 3 * 999_999),
    ],
)
async def test_values_are_summed_exactly(
    store: Store, values: list[tuple[int, int] | None], whole: int, micro: int
) -> None:
    batch = [single(ident, VALUED, values=[value]) for ident, value in enumerate(values)]
    await apply(store, increments(singles=batch))
    found = (await state_of(store)).counters["g:goal"]
    assert (found["n"], found.get("v", 0), found.get("u", 0)) == (len(values), whole, micro)


async def test_values_of_many_batches_stay_exact_beyond_what_a_float_holds(store: Store) -> None:
    for batch in range(12):
        events = [single(batch * 1000 + n, VALUED, values=[(HUGE - 1, 1)]) for n in range(1000)]
        await apply(store, increments(singles=events, expected=batch * 1000))
    assert (await state_of(store)).counters["g:goal"] == {"n": 12_000, "v": 12_000 * (HUGE - 1), "u": 12_000}


@pytest.mark.parametrize("sign", [1, -1])
async def test_values_of_one_batch_stay_exact_beyond_what_a_float_holds(store: Store, sign: int) -> None:
    events = [single(None, VALUED, values=[(sign * (HUGE - 1), 0)]) for _ in range(9_999)]
    await apply(store, increments(singles=events))
    found = (await state_of(store)).counters["g:goal"]
    assert (found["n"], found["v"]) == (9_999, sign * 9_999 * (HUGE - 1))


async def test_a_sum_has_room_for_more_than_any_integer_of_a_machine(store: Store) -> None:
    """Values that are greater than those of events stand for many of these."""
    most, number = 9 * 10**14, 25_000
    for first in range(0, number, 5_000):
        events = [single(None, VALUED, values=[(most, 999_999)]) for _ in range(5_000)]
        await apply(store, increments(singles=events, expected=first))
    found = (await state_of(store)).counters["g:goal"]
    assert (found["v"], found["u"]) == (number * most, number * 999_999)
    assert found["v"] > 2**64
    await apply(store, increments(singles=[single(None, VALUED, values=[(5, 0)], sign=-1)], expected=number))
    assert (await state_of(store)).counters["g:goal"]["v"] == number * most - 5


async def test_a_part_of_a_simple_event_without_value_counts(store: Store) -> None:
    await apply(store, increments(simple(1, 2, counters=(GOAL, ("h:goal", "n.1"), GOAL))))
    assert (await state_of(store)).counters == {"g:goal": {"n": 4}, "h:goal": {"n.1": 2}}


@pytest.mark.parametrize(
    ("epochs", "left"), [((10, 10), 0), ((10, 11), 0), ((10, 12), 1)], ids=["same", "next", "too late"]
)
async def test_a_correction_takes_back_what_is_remembered_once(
    store: Store, epochs: tuple[int, int], left: int
) -> None:
    value = [(7, 500_000)]
    await apply(store, increments(singles=[single(1, VALUED, values=value, epoch=epochs[0])]))
    taken = single(99, VALUED, values=value, sign=-1, requires=1, epoch=epochs[1])
    await apply(store, increments(singles=[taken, taken], expected=1))
    found = (await state_of(store)).counters.get("g:goal", {})
    assert (found.get("n", 0), found.get("v", 0), found.get("u", 0)) == (left, 7 * left, 500_000 * left)


async def test_a_correction_of_what_was_never_counted_changes_nothing_and_may_come_again(store: Store) -> None:
    taken = single(99, sign=-1, requires=1)
    await apply(store, increments(singles=[taken]))
    await apply(store, increments(simple(1), singles=[taken], expected=1))
    assert await number(store) == 0


async def newest(store: Store) -> int:
    return (await state_of(store)).counters.get("g:goal", {}).get("last", 0)


@pytest.mark.parametrize("occurred", [(5, 3, 9), (9, 5, 3), (3, 9, 5)])
@pytest.mark.parametrize("kind", ["simple", "single", "without id", "mixed"])
async def test_the_newest_conversion_is_remembered(store: Store, kind: str, occurred: tuple[int, int, int]) -> None:
    for offset, at in enumerate(occurred):
        if kind == "single" or (kind == "mixed" and offset == 1):
            one = increments(singles=[single(offset, LASTING, occurred_at=at)], expected=offset)
        elif kind == "without id":
            one = increments(simple(without_id=1, last=(LAST,), newest_without_id=at), expected=offset)
        else:
            one = increments(simple(offset, last=(LAST,), moments=(at,)), expected=offset)
        await apply(store, one)
    assert await newest(store) == 9


@pytest.mark.parametrize(
    ("known", "expected"),
    [((), 30), ((3,), 20), ((2, 3), 10), ((1,), 30), ((1, 2, 3), 5), ((1, 2, 3, 4), 0)],
    ids=str,
)
async def test_a_copy_is_not_the_newest_conversion(store: Store, known: tuple[int, ...], expected: int) -> None:
    await apply(store, increments(simple(*known)))
    many = simple(2, 4, 3, 1, last=(LAST,), moments=(20, 5, 30, 10))
    await apply(store, increments(many, expected=len(known)))
    assert await newest(store) == expected
    again = single(1, LASTING, occurred_at=99)
    await apply(store, increments(simple(3, last=(LAST,), moments=(98,)), singles=[again], expected=len(known) + 4))
    assert await newest(store) == expected


async def test_beside_copies_one_without_id_is_the_newest_conversion(store: Store) -> None:
    await apply(store, increments(simple(1)))
    many = simple(1, 2, last=(LAST,), moments=(30, 10), without_id=2, newest_without_id=20)
    await apply(store, increments(many, expected=1))
    assert await newest(store) == 20


async def test_each_of_many_has_its_own_newest_conversion(store: Store) -> None:
    await apply(store, increments(simple(1, 2)))
    other = ("g:other",)
    groups = [simple(1, 3, last=(LAST,), moments=(9, 5)), simple(4, 2, last=other, moments=(7, 8))]
    await apply(store, increments(*groups, expected=2))
    counters = (await state_of(store)).counters
    assert (counters["g:goal"]["last"], counters["g:other"]["last"]) == (5, 7)


@pytest.mark.parametrize("moments", [(3, 9, 5), (9, 5, 3), (5, 3, 9)])
async def test_what_moves_the_same_counter_adds_up_and_the_newest_decides(
    store: Store, moments: tuple[int, int, int]
) -> None:
    first, second, third = moments
    groups = [simple(1, last=(LAST,), moments=(first,)), simple(2, last=(LAST, "g:other"), moments=(second,))]
    own = single(3, LASTING, occurred_at=third)
    await apply(store, increments(*groups, singles=[own]))
    assert (await number(store), await newest(store)) == (3, 9)
    await apply(store, increments(*groups, singles=[own], expected=3))
    assert (await number(store), await newest(store)) == (3, 9), "copies"


@pytest.mark.parametrize(("guard", "who"), [(Whose.SESSION, "session"), (Whose.SUBJECT, "subject")])
async def test_who_came_before_is_not_the_newest_conversion(store: Store, guard: Whose, who: str) -> None:
    part = Part((GOAL,), guard=("o:cg", guard), last=(LAST,))
    came = [(1, 7, 10), (2, 7, 20), (3, 8, 15), (4, None, 30)]
    for offset, (ident, whose, at) in enumerate(came):
        one = single(ident, part, occurred_at=at, **{} if whose is None else {who: whose})  # type: ignore[arg-type]  # keywords by name
        await apply(store, increments(singles=[one], expected=offset))
    assert (await number(store), await newest(store)) == (2, 15)


async def test_a_correction_is_not_the_newest_conversion(store: Store) -> None:
    await apply(store, increments(singles=[single(1, LASTING, occurred_at=5)]))
    await apply(store, increments(singles=[single(99, LASTING, sign=-1, requires=1)], expected=1))
    assert (await number(store), await newest(store)) == (0, 5)


async def test_the_accounting_adds_up(store: Store) -> None:
    await apply(
        store,
        increments(
            simple(1, 2, 2, without_id=1),
            simple(1, 7, project="other", epoch=11),
            singles=[single(1), single(3), single(4, requires=77)],
            unmatched=5,
            rejected={"empty": 2, "too_deep": 1},
        ),
    )
    state = await state_of(store)
    assert state.projects[SHOP] == {
        "received": 15,
        "counted": 4,
        "duplicate": 3,
        "unmatched": 5,
        "rejected:empty": 2,
        "rejected:too_deep": 1,
    }
    assert state.partitions[f"{POSITION.name}|received"] == 17
    assert state.accounts_add_up()


async def test_names_with_any_character_are_only_names(store: Store) -> None:
    project, owner = "{x}:*[a]\\ \n'\"", "g:{sk:1:0}:gen *?[é]\x00"
    await apply(store, increments(simple(1, counters=((owner, "n"),), project=project)))
    state = await state_of(store)
    assert state.counters == {owner: {"n": 1}}
    assert state.projects[project]["counted"] == 1


async def test_a_large_batch_is_one_step(store: Store) -> None:
    applied = await apply(store, increments(simple(*range(-10_000, 10_000))))
    assert (applied.counted, await number(store)) == (20_000, 20_000)
    again = await apply(store, increments(simple(*range(-10_000, 10_001)), expected=20_000))
    assert (again.counted, again.duplicate) == (1, 20_000)
