"""Clauses in words that need no knowledge of JSON or operators."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.condition import compile_condition
from app.domain.condition_operators import OPERATORS
from app.domain.wording import describe, describe_wanted


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"plan": "pro"}, 'plan is "pro"'),
        ({"amount": {"$gte": 50.0}}, "amount is at least 50"),
        ({"plan": None}, "plan is empty or missing"),
        ({"plan": {"$exists": False}}, "plan is missing"),
        ({"plan": {"$in": ["pro", 5, True, None]}}, 'plan is one of "pro", 5, true, nothing (null)'),
        ({"plan": {"$not": {"$in": ["free", "team"]}}}, 'not: plan is one of "free", "team"'),
        ({"tags": {"$size": 2}}, "tags has a number of elements that is 2"),
        ({"tags": {"$size": {"$gt": 2}}}, "tags has a number of elements, and that is more than 2"),
        (
            {"items": {"$elemMatch": {"sku": "a", "n": {"$gt": 1}}}},
            'items has an element, and sku is "a" and n is more than 1',
        ),
        ({"tags": {"$elemMatch": {"$regex": "^a"}}}, 'tags has an element, and it fits the pattern "^a"'),
        ({"cart": {"a": 1}}, 'cart is {"a": 1}'),
        ({"$or": [{"a": 1}, {"b": 2, "c": 3}]}, "at least one of (a is 1; all of (b is 2; c is 3))"),
        ({"$not": {"a": 1}}, "not (a is 1)"),
    ],
)
def test_a_clause_is_told_in_words(condition: dict[str, Any], told: str) -> None:
    (clause,) = compile_condition(condition).explain({})
    assert describe_wanted(clause) == told


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_no_operator_is_told_by_its_name(operator: str) -> None:
    wanted: Any = {"$exists": True, "$type": "string"}.get(operator, ["a"] if "in" in operator else "1")
    (clause,) = compile_condition({"plan": {operator: wanted}}).explain({"plan": "1"})
    assert "$" not in describe(clause)


@pytest.mark.parametrize("condition", [{"plan": {"$in": ["v" * 50] * 5}}, {"plan": {"$not": {"$regex": "v" * 500}}}])
def test_what_is_cut_short_says_so(condition: dict[str, Any]) -> None:
    (clause,) = compile_condition(condition).explain({})
    assert describe_wanted(clause).endswith("…")
