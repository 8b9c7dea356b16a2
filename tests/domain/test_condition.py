"""Conditions: what each operator answers, what is refused when a definition is saved, how an answer is explained."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from math import inf, nan

import pytest

from app.domain.clause import MISSING
from app.domain.condition import MAX_CONDITIONS, MAX_DEPTH, Clause, compile_condition
from app.domain.condition_operators import MAX_REGEX_CHARACTERS
from app.errors import InvalidDefinition

Data = dict[str, object]


def answer(source: Data, data: Data) -> bool:
    """The answer, after checking that explaining gives the same one."""
    condition = compile_condition(source)
    answered = condition.matches(data)
    assert answered == all(clause.holds for clause in condition.explain(data))
    return answered


HOLDS: list[tuple[Data, Data]] = [
    ({}, {"plan": "pro"}),
    ({"plan": "pro", "seats": 5}, {"seats": 5, "plan": "pro"}),
    # Numbers by value
    ({"price": 0.1}, {"price": Decimal("0.1")}),
    ({"price": 0.1}, {"price": Decimal("0.10")}),
    ({"count": 2**64 + 1}, {"count": 2**64 + 1}),
    # Null with missing, whole lists and objects in their order
    ({"plan": None}, {}),
    ({"plan": None}, {"plan": None}),
    ({"tags": ["a", {"b": 1}]}, {"tags": ["a", {"b": 1.0}]}),
    ({"address": {"2": 1, "1": 2}}, {"address": {"1": 2, "2": 1}}),
    ({"address": {}}, {"address": {}}),
    # Paths
    ({"address.city": "Wien"}, {"address": {"city": "Wien"}}),
    ({"items.1.sku": "b"}, {"items": [{"sku": "a"}, {"sku": "b"}]}),
    ({"items.length": 2}, {"items": [1, 2]}),
    ({"$groups": {"$elemMatch": {"$eq": "a"}}}, {"$groups": ["a"]}),
    ({"": 1}, {"": 1}),
    # $eq and $ne are strict
    ({"seats": {"$eq": 5}}, {"seats": 5.0}),
    ({"seats": {"$eq": 0.1}}, {"seats": Decimal("0.1")}),
    ({"seats": {"$ne": "5"}}, {"seats": 5}),
    ({"seats": {"$ne": 1}}, {"seats": True}),
    ({"plan": {"$eq": None}}, {}),
    # Order
    ({"amount": {"$gte": 50}}, {"amount": 50}),
    ({"amount": {"$gt": 49.99}}, {"amount": Decimal("49.991")}),
    ({"amount": {"$gte": 0.1}}, {"amount": Decimal("0.1")}),
    ({"amount": {"$lt": 2**64 + 1}}, {"amount": 2**64}),
    ({"amount": {"$lt": "9"}}, {"amount": "10"}),
    ({"word": {"$gt": "alphabet"}}, {"word": "always"}),
    ({"word": {"$lt": "\uffee"}}, {"word": "\U0001f600"}),
    # Lists
    ({"country": {"$in": ["DE", "AT", 1]}}, {"country": "AT"}),
    ({"country": {"$in": [1]}}, {"country": [2, 1.0]}),
    ({"country": {"$in": [None]}}, {}),
    ({"country": {"$in": [0.1]}}, {"country": Decimal("0.1")}),
    ({"country": {"$nin": ["DE"]}}, {}),
    ({"country": {"$nin": [1]}}, {"country": True}),
    ({"country": {"$ini": ["de"]}}, {"country": "DE"}),
    ({"country": {"$ini": ["ÉCU"]}}, {"country": ["x", "écu"]}),
    ({"country": {"$nini": ["de"]}}, {"country": "at"}),
    ({"tags": {"$all": ["a", {"$regex": "^b"}]}}, {"tags": ["bb", "a"]}),
    ({"tags": {"$all": []}}, {"tags": []}),
    ({"tags": {"$alli": ["A", 1]}}, {"tags": [1, "a"]}),
    ({"tags": {"$size": 0}}, {"tags": []}),
    ({"tags": {"$size": {"$gt": 1}}}, {"tags": [1, 2]}),
    ({"tags": {"$elemMatch": {"$gte": 5}}}, {"tags": [1, 5]}),
    ({"tags": {"$elemMatch": {"$eq": 0}}}, {"tags": [0]}),
    ({"items": {"$elemMatch": {"sku": "a", "n": {"$gt": 1}}}}, {"items": [{"sku": "a", "n": 1}, {"sku": "a", "n": 2}]}),
    ({"items": {"$elemMatch": {"$or": [{"sku": "a"}, {"sku": "b"}]}}}, {"items": [{"sku": "b"}]}),
    ({"items": {"$elemMatch": {}}}, {"items": [1]}),
    # Being there, type, regular expressions
    ({"plan": {"$exists": True}}, {"plan": 0}),
    ({"plan": {"$exists": False}}, {"plan": None}),
    ({"plan": {"$exists": False}}, {}),
    ({"a": {"$type": "string"}}, {"a": ""}),
    ({"a": {"$type": "number"}}, {"a": Decimal(1)}),
    ({"a": {"$type": "boolean"}}, {"a": False}),
    ({"a": {"$type": "array"}}, {"a": []}),
    ({"a": {"$type": "object"}}, {"a": {}}),
    ({"a": {"$type": "null"}}, {}),
    ({"a": {"$regex": "^/blog/[a-z]+$"}}, {"a": "/blog/x"}),
    ({"a": {"$regex": "\ufffd"}}, {"a": "\ud800"}),
    ({"a": {"$regexi": "é"}}, {"a": "É"}),
    ({"a": {"$notRegex": "b"}}, {"a": "a"}),
    ({"a": {"$notRegexi": "b"}}, {"a": "a"}),
    # Versions
    ({"v": {"$veq": "v1.2.3+build"}}, {"v": "1.2.3"}),
    ({"v": {"$vgt": "1.9.0"}}, {"v": "1.10.0"}),
    ({"v": {"$vlt": "1.0.0"}}, {"v": "1.0.0-rc.1"}),
    ({"v": {"$vlte": "1.2.3"}}, {"v": "1.2.3"}),
    ({"v": {"$vne": "1.2.3"}}, {}),
    # Groups
    ({"$and": []}, {}),
    ({"$or": []}, {}),
    ({"$or": [{"a": 1}, {"b": 2}]}, {"b": 2}),
    ({"$nor": [{"a": 1}, {"b": 2}]}, {"a": 2}),
    ({"$not": {"a": 1, "b": 2}}, {"a": 1}),
    ({"a": {"$not": {"$gt": 1}}}, {"a": 1}),
    ({"a": {"$not": "x"}}, {"a": "y"}),
    ({"a": 1, "$or": [{"b": 1, "c": 1, "d": 1}]}, {"a": 1, "b": 1, "c": 1, "d": 1}),
    # What is no version is unequal to every version
    ({"address": {}}, {"address": None}),
]

FAILS: list[tuple[Data, Data]] = [
    ({"plan": "pro"}, {"plan": "Pro"}),
    ({"plan": "pro"}, {}),
    ({"seats": 5}, {"seats": "five"}),
    ({"seats": 5}, {"seats": "5 seats"}),
    ({"count": 2**64 + 1}, {"count": 2**64}),
    ({"flag": False}, {}),
    ({"plan": None}, {"plan": ""}),
    ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
    ({"tags": [1]}, {"tags": [True]}),
    ({"address": {"a": 1, "b": 2}}, {"address": {"b": 2, "a": 1}}),
    ({"address.city": "Wien"}, {"address": None}),
    ({"address.city": "Wien"}, {"address.city": "Wien"}),
    ({"items.01": 2}, {"items": [1, 2]}),
    ({"items.2": 2}, {"items": [1, 2]}),
    ({"constructor": {"$exists": True}}, {}),
    ({"seats": {"$eq": 5}}, {"seats": "5"}),
    ({"seats": {"$eq": 1}}, {"seats": True}),
    ({"seats": {"$eq": False}}, {}),
    ({"amount": {"$gte": 50}}, {"amount": "fifty"}),
    ({"amount": {"$lt": 50}}, {"amount": "fifty"}),
    ({"amount": {"$lt": "fifty"}}, {"amount": 5}),
    ({"amount": {"$lte": 50}}, {"amount": {}}),
    ({"amount": {"$gte": 50}}, {"amount": 49}),
    ({"country": {"$in": ["1"]}}, {"country": 1}),
    ({"country": {"$in": [["a"]]}}, {"country": [["a"]]}),
    ({"country": {"$in": []}}, {}),
    ({"country": {"$ini": ["1"]}}, {"country": 1}),
    ({"tags": {"$all": ["a", "b"]}}, {"tags": ["a"]}),
    ({"tags": {"$all": ["a"]}}, {"tags": "a"}),
    ({"tags": {"$size": 1}}, {"tags": "a"}),
    ({"tags": {"$elemMatch": {"$eq": None}}}, {"tags": [None]}),
    ({"items": {"$elemMatch": {"a": 1, "b": 2}}}, {"items": [{"a": 1}, {"b": 2}]}),
    ({"plan": {"$exists": True}}, {"plan": None}),
    ({"a": {"$type": "number"}}, {"a": True}),
    ({"a": {"$type": "undefined"}}, {}),
    ({"a": {"$regex": "^b"}}, {"a": "ab"}),
    ({"a": {"$regex": "a$"}}, {"a": "a\n"}),
    ({"v": {"$vgt": "1.10.0"}}, {"v": "1.9.0"}),
    ({"$nor": []}, {}),
    ({"$nor": [{"a": 1}]}, {"a": 1}),
    ({"$not": {}}, {}),
    # Another type is never equal and has no order
    ({"seats": "5"}, {"seats": 5}),
    ({"seats": "5"}, {"seats": 5.0}),
    ({"big": "1e+21"}, {"big": 10**21}),
    ({"small": "1e-7"}, {"small": 0.0000001}),
    ({"small": "0.000001"}, {"small": 0.000001}),
    ({"rate": "0.25"}, {"rate": Decimal("0.250")}),
    ({"flag": "true"}, {"flag": True}),
    ({"tags": "a,b"}, {"tags": ["a", "b"]}),
    ({"tags": "a,,5"}, {"tags": ["a", None, [5]]}),
    ({"object": "[object Object]"}, {"object": {}}),
    ({"gone": "null"}, {}),
    ({"seats": 5}, {"seats": "5"}),
    ({"seats": 5}, {"seats": " 5.0 "}),
    ({"seats": 16}, {"seats": "0x10"}),
    ({"seats": 5}, {"seats": [5]}),
    ({"seats": 1}, {"seats": True}),
    ({"seats": 0}, {}),
    ({"seats": 0}, {"seats": ""}),
    ({"flag": True}, {"flag": "yes"}),
    ({"flag": True}, {"flag": []}),
    ({"flag": False}, {"flag": 0}),
    ({"amount": {"$gt": 5, "$lt": 10}}, {"amount": "8"}),
    ({"amount": {"$gt": "5", "$lt": "10"}}, {"amount": 8}),
    ({"amount": {"$gt": -1, "$lt": 1}}, {}),
    ({"flag": {"$gt": False}}, {"flag": True}),
    ({"a": {"$regex": "^null$"}}, {}),
    ({"v": {"$vgte": "1.2"}}, {"v": 1.2}),
    ({"v": {"$veq": "0"}}, {"v": True}),
]


@pytest.mark.parametrize(("source", "data"), HOLDS)
def test_a_condition_holds(source: Data, data: Data) -> None:
    assert answer(source, data)


@pytest.mark.parametrize(("source", "data"), FAILS)
def test_a_condition_does_not_hold(source: Data, data: Data) -> None:
    assert not answer(source, data)


def nested(levels: int) -> object:
    return 1 if levels == 0 else {"a": nested(levels - 1)}


@pytest.mark.parametrize(
    ("source", "field", "said"),
    [
        (None, "/conditions", "not an object"),
        ([], "/conditions", "not an object"),
        ("plan", "/conditions", "not an object"),
        ({"amount": {"$gt3": 1}}, "/conditions/amount/$gt3", "Did you mean $gt"),
        ({"a/b~": {"$regx": "x"}}, "/conditions/a~1b~0/$regx", "Did you mean $regex"),
        ({"$ands": []}, "/conditions/$ands", "Did you mean $and?"),
        ({"$gte": 5}, "/conditions/$gte", "a property belongs"),
        ({"a": {"$or": []}}, "/conditions/a/$or", "cannot stand below a property"),
        ({"a": {"$inGroup": "x"}}, "/conditions/a/$inGroup", "saved groups"),
        ({"a": {"$notInGroup": "x"}}, "/conditions/a/$notInGroup", "saved groups"),
        ({"$savedGroup": {"id": "x"}}, "/conditions/$savedGroup", "saved groups"),
        ({"a": {"$gte": 5, "currency": "EUR"}}, "/conditions/a", "mixed"),
        ({"a": {"b": {"$gte": 5}}}, "/conditions/a/b/$gte", "compared as a whole"),
        ({"a": [{"$gte": 5}]}, "/conditions/a/0/$gte", "compared as a whole"),
        ({"$or": {"a": 1}}, "/conditions/$or", "not a list"),
        ({"$or": [{"a": 1}, 5]}, "/conditions/$or/1", "not an object"),
        ({"$not": []}, "/conditions/$not", "not an object"),
        ({"a": {"$gte": [1]}}, "/conditions/a/$gte", "no order"),
        ({"a": {"$in": "DE"}}, "/conditions/a/$in", "not a list"),
        ({"a": {"$nini": 1}}, "/conditions/a/$nini", "not a list"),
        ({"a": {"$all": 1}}, "/conditions/a/$all", "not a list"),
        ({"a": {"$all": [{"$x": 1}]}}, "/conditions/a/$all/0/$x", "not an operator"),
        ({"a": {"$exists": 1}}, "/conditions/a/$exists", "not a boolean"),
        ({"a": {"$type": "int"}}, "/conditions/a/$type", "string, number, boolean"),
        ({"a": {"$type": []}}, "/conditions/a/$type", "string, number, boolean"),
        ({"a": {"$size": "1"}}, "/conditions/a/$size", "not a whole number"),
        ({"a": {"$size": True}}, "/conditions/a/$size", "not a whole number"),
        ({"a": {"$elemMatch": []}}, "/conditions/a/$elemMatch", "not an object"),
        ({"a": {"$veq": None}}, "/conditions/a/$veq", "not a version"),
        ({"a": {"$regex": 5}}, "/conditions/a/$regex", "not a text"),
        ({"a": {"$regex": "("}}, "/conditions/a/$regex", "missing )"),
        ({"a": {"$regexi": "(?=b)"}}, "/conditions/a/$regexi", "no look-around"),
        ({"a": {"$notRegex": "x" * (MAX_REGEX_CHARACTERS + 1)}}, "/conditions/a/$notRegex", "more than 512"),
        ({"a": {"$not": {"$lt": {}}}}, "/conditions/a/$not/$lt", "no order"),
        ({"a": {"$elemMatch": {"b": {"$in": 1}}}}, "/conditions/a/$elemMatch/b/$in", "not a list"),
        ({"a": "\ud83d"}, "/conditions/a", "half of a surrogate pair"),
        ({"a": {"$in": ["b", "\udc00"]}}, "/conditions/a/$in/1", "half of a surrogate pair"),
        ({"\ud83d": 1}, "/conditions", "half of a surrogate pair"),
        ({"\ud83d": {"~": "\ud83d"}}, "/conditions", "half of a surrogate pair"),
        ({"a": {"$gt": inf}}, "/conditions/a/$gt", "no number that JSON knows"),
        ({"$or": [{"a": nan}]}, "/conditions/$or/0/a", "no number that JSON knows"),
        ({"a": {"$lt": Decimal("-Infinity")}}, "/conditions/a/$lt", "no number that JSON knows"),
        (nested(MAX_DEPTH + 1), "/conditions", "deeper than 16"),
        ({"$or": [{f"p{n}": n} for n in range(MAX_CONDITIONS + 1)]}, "/conditions/$or/50/p50", "more than 50"),
    ],
)
def test_what_could_never_match_as_meant_is_refused_at_its_place(source: object, field: str, said: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compile_condition(source)
    assert caught.value.field == field
    assert said in f"{caught.value.problem} {caught.value.remedy}"
    assert caught.value.remedy


def test_the_limits_themselves_are_accepted() -> None:
    assert compile_condition(nested(MAX_DEPTH)).matches({"a": nested(MAX_DEPTH - 1)})
    many = {f"p{n}": n for n in range(MAX_CONDITIONS)}
    assert compile_condition(many).matches(dict(many))
    assert compile_condition({"a": {"$regex": "x" * MAX_REGEX_CHARACTERS}}).matches({"a": "x" * 600})


def test_a_condition_of_a_thousand_levels_is_refused_without_exhausting_the_stack() -> None:
    source: Data = {}
    for _ in range(1000):
        source = {"$not": source}
    with pytest.raises(InvalidDefinition, match="deeper"):
        compile_condition(source)


def test_a_regular_expression_that_explodes_elsewhere_answers_in_linear_time() -> None:
    assert not answer({"a": {"$regex": "^(a+)+$"}}, {"a": "a" * 50_000 + "b"})


def test_explaining_says_what_was_wanted_and_found_for_every_requirement() -> None:
    condition = compile_condition({"plan": "pro", "amount": {"$gte": 50, "$lt": 100}, "address.city": None})
    assert condition.explain({"plan": "free", "amount": 70}) == (
        Clause("plan", "equals", "pro", "free", holds=False),
        Clause("amount", "$gte", 50, 70, holds=True),
        Clause("amount", "$lt", 100, 70, holds=True),
        Clause("address.city", "equals", None, MISSING, holds=True),
    )


def test_explaining_a_group_lists_its_members_and_tells_null_from_missing() -> None:
    (clause,) = compile_condition({"$nor": [{"a": 1}, {"b": 2, "c": 3}]}).explain({"a": None, "b": 2})
    assert (clause.operator, clause.found, clause.holds) == ("$nor", MISSING, True)
    first, second = clause.clauses
    assert first == Clause("a", "equals", 1, None, holds=False)
    assert (second.operator, second.holds) == ("$and", False)
    assert [(inner.path, inner.found, inner.holds) for inner in second.clauses] == [
        ("b", 2, True),
        ("c", MISSING, False),
    ]


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ({"plan": "pro", "amount": {"$gte": 5}}, (("plan", "pro"),)),
        ({"seats": {"$eq": 5}}, (("seats", 5),)),
        ({"plan": None, "x": {"$eq": None}}, (("plan", None), ("x", None))),
        ({"$and": [{"a": "x"}, {"b": {"$eq": True}}]}, (("a", "x"), ("b", True))),
        ({"$or": [{"a": "x"}], "$not": {"b": "y"}}, ()),
        ({"a.b": "x"}, ()),
        ({"a": 5, "b": True, "c": "5"}, (("a", 5), ("b", True), ("c", "5"))),
        ({"a": ["x"], "b": {}, "c": {"$ne": 5}}, ()),
    ],
)
def test_equality_keys_are_what_every_match_has(source: Data, keys: tuple[tuple[str, object], ...]) -> None:
    assert compile_condition(source).equality_keys() == keys


def test_conditions_of_the_same_form_are_equal_and_others_are_not() -> None:
    one = compile_condition({"a": {"$gt": 1, "$lt": 5}, "b": "x"})
    same = compile_condition({"b": "x", "a": {"$lt": 5, "$gt": 1}})
    assert one == same
    assert hash(one) == hash(same)
    different: list[Data] = [{"a": 1}, {"a": "1"}, {"a": True}, {"a": [1]}, {"a": Decimal(1)}, {"a": {"b": 1, "c": 2}}]
    different += [{"a": {"c": 2, "b": 1}}, {"a": {"$eq": 1}}, {"a": [["$eq", 1]]}, {"a": "Decimal('1')"}, {}]
    assert len({compile_condition(source) for source in different}) == len(different)
    assert one != {"a": 1}
    nested = {"$or": [{"a": {"$elemMatch": {"b": 1, "c": 2}}}]}
    assert compile_condition(nested) == compile_condition({"$or": [{"a": {"$elemMatch": {"c": 2, "b": 1}}}]})


def test_a_regular_expression_remembers_some_texts_and_says_the_same_of_each() -> None:
    condition = compile_condition({"note": {"$regex": "7$"}})
    tracemalloc.start()
    try:
        for _ in range(2):
            held = [number for number in range(5_000) if condition.matches({"note": f"{number:0200}"})]
            assert held == list(range(7, 5_000, 10))
        del held
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000, "bytes"
