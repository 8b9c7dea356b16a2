"""Projects are spread over stripes by what they bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding_rules import FoldingRules
from app.domain.parsing import ParsingRules
from app.domain.spreading import MOST, hashed, spread

LOADS = st.dictionaries(st.text(max_size=8), st.integers(0, 10**9), max_size=60)


def carried(loads: Mapping[str, int], stripes: int) -> list[int]:
    """What each stripe carries, as a worker places the projects."""
    rules = FoldingRules(ParsingRules(), b"", 1, stripes, spread(loads, stripes))
    found: Counter[int] = Counter()
    for project, load in loads.items():
        found[rules.stripe_of(project)] += load
    return [found[stripe] for stripe in range(stripes)]


def of_shards(own: list[int], shards: int) -> list[int]:
    """Each shard holds as many stripes as the next, in a row."""
    each = len(own) // shards
    return [sum(own[first : first + each]) for first in range(0, len(own), each)]


@given(LOADS, st.integers(1, 20))
def test_no_stripe_carries_more_than_the_least_by_more_than_its_heaviest_project(
    loads: dict[str, int], stripes: int
) -> None:
    known = {project: load for project, load in loads.items() if load}
    own = carried(known, stripes)
    assert max(own) - min(own) <= max(known.values(), default=0)


@given(LOADS, st.integers(2, 20))
def test_every_project_has_a_stripe_and_the_order_in_which_they_are_named_is_of_no_account(
    loads: dict[str, int], stripes: int
) -> None:
    found = spread(loads, stripes)
    assert found.keys() == loads.keys()
    assert set(found.values()) <= set(range(stripes))
    assert found == spread(dict(reversed(loads.items())), stripes)


@pytest.mark.parametrize(
    ("projects", "shards", "most"), [(3, 3, 1), (20, 3, 7), (20, 2, 10), (20, 4, 6), (100, 3, 34), (100, 6, 18)]
)
def test_shards_of_equally_many_stripes_carry_as_much_as_each_other(projects: int, shards: int, most: int) -> None:
    loads = {f"p{number}": 1 for number in range(projects)}
    assert max(of_shards(carried(loads, 12), shards)) <= most


def test_a_hot_project_has_a_stripe_for_itself() -> None:
    loads = {"hot": 900, **{f"p{number}": 10 for number in range(10)}}
    found = spread(loads, 4)
    assert [project for project, stripe in found.items() if stripe == found["hot"]] == ["hot"]


def test_projects_of_which_nothing_is_known_are_taken_for_usual_ones() -> None:
    old, new = {"a": 10, "b": 10}, dict.fromkeys("cdefgh", 0)
    assert Counter(spread(old | new, 4).values()) == dict.fromkeys(range(4), 2)


def test_only_the_heaviest_are_placed_and_beside_what_is_hashed() -> None:
    light = {f"light{number}": 1 for number in range(MOST)}
    heavy = {f"heavy{number}": 2 for number in range(MOST)}
    assert spread(light | heavy, 2).keys() == heavy.keys()
    own = carried(light | heavy, 2)
    assert max(own) - min(own) <= 2
    assert len({hashed(project, 2) for project in light}) == 2
