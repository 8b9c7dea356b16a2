"""The contract of counter stores for experiments: one law for the counters in memory and in Redis."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import permutations

import pytest

from app.domain.experiments import MAX_EXPERIMENTS, MAX_VARIANTS
from app.domain.fields import experiment_id, experiment_owner, experiments_owner
from app.domain.increments import Exposure, Increments, Part, Position
from tests.stores.counting import SHOP, Store, apply, exposure, increments, single, state_of

PART = Part((), valued=(("c:cg", "n"),), conversion_goal="cg")
OWNER = experiment_owner(experiment_id(SHOP, "button"))
AT = 1_790_000_000_000


async def experiment(store: Store) -> Mapping[str, int]:
    return (await state_of(store)).counters.get(OWNER, {})


def seen(variant: str, subject: int | None, at: int = AT, partition: int = 0) -> Increments:
    return increments(
        exposures={exposure("button", variant, subject): at}, position=Position("events", partition, "t"), next_offset=1
    )


def converts(
    ident: int, variant: str, subject: int | None, *, sign: int = 1, requires: int | None = None, partition: int = 0
) -> Increments:
    one = single(
        ident, PART, values=[(10, 5)], subject=subject, sign=sign, requires=requires, assignments=(("button", variant),)
    )
    return increments(singles=[one], position=Position("events", partition, "t"))


async def apply_all(store: Store, batches: Sequence[Increments]) -> None:
    """Each in a partition of its own, so that any order is a possible one."""
    for batch in batches:
        assert (await apply(store, batch)).applied


async def test_what_a_subject_did_moves_whole_whatever_its_value(store: Store) -> None:
    """Greater values than an event may have stand for many of these."""
    most = 9 * 10**14

    def spends(partition: int) -> Increments:
        some = [single(None, PART, values=[(most, 3)], subject=1, assignments=(("button", "b"),)) for _ in range(12)]
        return increments(singles=some, position=Position("events", partition, "t"))

    await apply_all(store, [seen("b", 1), spends(1), spends(2), spends(3), seen("a", 1, AT - 1, partition=4)])
    found = {name: number for name, number in (await experiment(store)).items() if name.startswith(("v|", "u|", "n|"))}
    assert found == {"n|cg|a": 36, "v|cg|a": 36 * most, "u|cg|a": 108}
    assert 36 * most > 2**53


async def test_a_subject_is_exposed_once(store: Store) -> None:
    await apply_all(store, [seen("a", 1), seen("a", 1, AT + 5, partition=1), seen("a", 2, partition=2)])
    assert await experiment(store) == {"e|a": 2, "t|a": AT}


async def test_a_variant_that_nobody_is_named_for_is_known_and_exposes_nobody(store: Store) -> None:
    await apply(store, seen("a", None))
    assert await experiment(store) == {"t|a": AT}


async def test_conversions_subjects_and_values_are_counted_by_variant(store: Store) -> None:
    batches = [
        seen("a", 1),
        converts(11, "a", 1, partition=1),
        converts(12, "a", 1, partition=2),
        converts(13, "a", None, partition=3),
    ]
    await apply_all(store, batches)
    assert await experiment(store) == {
        "e|a": 1,
        "t|a": AT,
        "n|cg|a": 3,
        "s|cg|a": 1,
        "v|cg|a": 30,
        "u|cg|a": 15,
    }


async def test_a_duplicate_and_what_a_guard_holds_back_count_for_no_variant(store: Store) -> None:
    await apply_all(store, [seen("a", 1), converts(11, "a", 1, partition=1), converts(11, "a", 1, partition=2)])
    assert (await experiment(store))["n|cg|a"] == 1


async def test_a_conversion_that_is_taken_back_leaves_no_trace(store: Store) -> None:
    await apply_all(
        store,
        [seen("a", 1), converts(11, "a", 1, partition=1), converts(99, "a", 1, sign=-1, requires=11, partition=2)],
    )
    assert await experiment(store) == {"e|a": 1, "t|a": AT}


async def test_a_subject_in_two_variants_counts_in_the_one_it_saw_first_in_any_order_of_the_partitions(
    store: Store,
) -> None:
    # What a worker counts of one partition may come long after what it counts of another.
    for number, order in enumerate(permutations(range(5))):
        key = f"button-{number}"
        batches = [
            _event(number, partition, key, *sighting)
            for partition, sighting in enumerate(
                [("b", AT, None), ("a", AT + 1, None), ("c", AT + 2, None), ("a", AT + 3, 1), ("b", AT + 4, 2)]
            )
        ]
        await apply_all(store, [batches[place] for place in order])
    counters = (await state_of(store)).counters
    for number in range(120):
        assert counters[experiment_owner(experiment_id(SHOP, f"button-{number}"))] == {
            "e|b": 1,
            "crossed": 1,
            "t|b": AT,
            "t|a": AT + 1,
            "t|c": AT + 2,
            "n|cg|b": 2,
            "s|cg|b": 1,
            "v|cg|b": 20,
            "u|cg|b": 10,
        }


def _event(number: int, partition: int, key: str, variant: str, at: int, ident: int | None) -> Increments:
    """Of the only subject; with an id it converts too."""
    converting = single(10 * number + (ident or 0), PART, values=[(10, 5)], subject=1, assignments=((key, variant),))
    return increments(
        singles=[converting] if ident else [],
        exposures={exposure(key, variant, 1): at},
        position=Position(f"events-{number}", partition, "t"),
        next_offset=1,
    )


@pytest.mark.parametrize("names", [("a", "b"), ("Z", "a"), ("é", "z"), ("ab", "abc")])
async def test_of_two_variants_at_one_moment_the_name_decides(store: Store, names: tuple[str, str]) -> None:
    one, two = sorted(names, key=str.encode)
    await apply_all(
        store, [seen(two, 1), seen(one, 1, partition=1), seen(one, 2, partition=2), seen(two, 2, partition=3)]
    )
    found = await experiment(store)
    assert (found[f"e|{one}"], found.get(f"e|{two}", 0), found["crossed"]) == (2, 0, 2)


async def test_any_order_of_many_sightings_and_conversions_gives_the_same(store: Store) -> None:
    chance = random.Random(7)
    events = [
        (partition, chance.randrange(150), chance.choice("abc"), AT + chance.randrange(4)) for partition in range(600)
    ]
    batches = []
    for partition, subject, variant, at in events:
        one = single(partition, PART, values=[(1, 1)], subject=subject, assignments=(("button", variant),))
        batches.append(
            increments(
                singles=[one] if partition % 3 == 0 else [],
                exposures={exposure("button", variant, subject): at},
                position=Position("events", partition, "t"),
                next_offset=1,
            )
        )
    first = {subject: min((at, v) for _, s, v, at in events if s == subject)[1] for _, subject, _, _ in events}
    chance.shuffle(batches)
    await apply_all(store, batches)
    found = await experiment(store)
    for variant in "abc":
        assert found[f"e|{variant}"] == sum(v == variant for v in first.values())
        counted = [subject for partition, subject, _, _ in events if partition % 3 == 0 and first[subject] == variant]
        assert (found[f"n|cg|{variant}"], found[f"s|cg|{variant}"]) == (len(counted), len(set(counted)))
        assert found[f"v|cg|{variant}"] == found[f"u|cg|{variant}"] == len(counted)
    assert found["crossed"] == sum(len({v for _, s, v, _ in events if s == subject}) > 1 for subject in first)


async def test_beyond_the_limits_nothing_is_kept_but_that_they_were_reached(store: Store) -> None:
    many: dict[Exposure, int] = {exposure("button", f"v{n}", n): AT for n in range(MAX_VARIANTS + 5)}
    many |= {exposure(f"test-{n}", "a", n): AT for n in range(MAX_EXPERIMENTS + 5)}
    await apply(store, increments(exposures=many, next_offset=1))
    over = single(1, PART, subject=3, assignments=(("button", "one too many"), ("another", "a")))
    await apply(store, increments(singles=[over], expected=1))
    state = await state_of(store)
    known = state.counters[experiments_owner(SHOP)]
    assert (known["#"], known[f"#{experiment_id(SHOP, 'button')}"], known["refused"]) == (
        MAX_EXPERIMENTS,
        MAX_VARIANTS,
        1,
    )
    assert sum(name.startswith("k|") for name in known) == MAX_EXPERIMENTS
    assert sum(name.startswith("e|") for name in state.counters[OWNER]) == MAX_VARIANTS
    assert not any(name.startswith("n|") for name in state.counters[OWNER])
    assert state.counters["c:cg"] == {"n": 1}, "the conversion counts all the same"


async def test_a_neighbour_is_not_reached_by_a_projects_limit(store: Store) -> None:
    many = {exposure(f"test-{n}", "a", n): AT for n in range(MAX_EXPERIMENTS + 5)}
    await apply(store, increments(exposures={**many, exposure("button", "a", 1, "other"): AT}, next_offset=1))
    own = (await state_of(store)).counters[experiment_owner(experiment_id("other", "button"))]
    assert own == {"e|a": 1, "t|a": AT}


async def test_thousands_of_subjects_are_kept_apart(store: Store) -> None:
    chance = random.Random(3)
    subjects = [chance.randrange(-(2**63), 2**63) for _ in range(5_000)]
    for offset, part in enumerate((subjects[:3000], subjects[2000:], subjects)):
        await apply(
            store,
            increments(
                exposures={exposure("button", "a", s): AT + offset for s in part},
                expected=offset,
                next_offset=offset + 1,
            ),
        )
    assert (await experiment(store))["e|a"] == 5_000
