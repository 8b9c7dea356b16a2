"""Conditions that no event can fulfil are told, and only those."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.condition import compile_condition
from app.domain.contradiction import contradictions
from tests.domain.test_condition_laws import DATA, SCALARS, SOURCES

IMPOSSIBLE: list[tuple[dict[str, object], str]] = [
    ({"amount": {"$gt": 5, "$lt": 3}}, "amount is more than 5 and less than 3"),
    ({"amount": {"$gt": 5, "$lte": 5}}, "amount is more than 5 and at most 5"),
    ({"amount": {"$gte": 5, "$lt": "9"}}, 'amount is at least 5 and less than "9"'),
    ({"plan": "pro", "$and": [{"plan": "free"}]}, 'plan is "pro" and "free"'),
    ({"plan": {"$in": []}}, "plan is one of nothing"),
    ({"plan": {"$in": ["pro"], "$nin": ["pro", "free"]}}, "plan is"),
    ({"plan": {"$eq": "pro", "$exists": False}}, 'plan is "pro" and missing'),
    ({"order.total": {"$eq": 5, "$gt": 10}}, "order.total is 5 and more than 10"),
    ({"name": {"$gt": "b", "$lt": "a"}}, 'name is more than "b" and less than "a"'),
]
POSSIBLE: list[dict[str, object]] = [
    {},
    {"amount": {"$gt": 5, "$lt": 6}},
    {"amount": {"$gte": 5, "$lte": 5}},
    {"name": {"$gt": "a", "$lt": "b"}},
    {"tags": {"$in": ["a"]}, "$and": [{"tags": {"$in": ["b"]}}]},
    {"plan": {"$eq": None, "$exists": False}},
    {"$or": [{"amount": {"$gt": 5, "$lt": 3}}, {"plan": "pro"}]},
    {"amount": {}, "$and": [{"amount": {"$gt": 5}}]},
]


@pytest.mark.parametrize(("source", "told"), IMPOSSIBLE)
def test_what_no_event_can_fulfil_is_told(source: dict[str, object], told: str) -> None:
    (found,) = contradictions(compile_condition(source))
    assert found.startswith(told)


@pytest.mark.parametrize("source", POSSIBLE)
def test_what_some_event_fulfils_is_not_called_impossible(source: dict[str, object]) -> None:
    assert contradictions(compile_condition(source)) == []


@given(first=SOURCES, second=SOURCES, data=DATA, value=SCALARS, listed=st.lists(SCALARS, max_size=3))
def test_nothing_matches_what_is_called_impossible(
    first: dict[str, object], second: dict[str, object], data: dict[str, object], value: object, listed: list[object]
) -> None:
    condition = compile_condition({**first, "$and": [second]})
    if contradictions(condition):
        for one in (data, {"a": value, "b": value}, {"a": listed, "b": listed}, {}):
            assert not condition.matches(one)
