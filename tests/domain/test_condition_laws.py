"""Laws that every condition keeps, whatever is asked of whatever data."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.domain.condition import Condition, compile_condition

Data = dict[str, object]

ALIKE = (None, True, False, 0, 1, 5, 5.0, Decimal(5), "5", "1", "", "true", "null")
"""Values that look alike and are not the same."""
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.integers(2**53, 2**70),
    st.sampled_from([10**400, -(10**400), Decimal("1E+999999"), Decimal("1E-999999")]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "A", "5", "5.0", "true", "null", "1.2.3", "\U0001f600", "\uffee", "1e400"]),
    st.text(max_size=3),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab0"), inner, max_size=3)),
    max_leaves=4,
)
DATA = st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), SCALARS),
    st.tuples(st.sampled_from(["$in", "$nin", "$ini", "$nini", "$all", "$alli"]), st.lists(SCALARS, max_size=3)),
    st.tuples(st.sampled_from(["$veq", "$vgt", "$vlte"]), st.sampled_from(["1.2.3", "1.10", 5])),
    st.tuples(st.just("$regex"), st.sampled_from(["^a", "[0-9]", "true"])),
    st.tuples(st.just("$exists"), st.booleans()),
    st.tuples(st.just("$not"), SCALARS),
)
SOURCES = st.dictionaries(
    st.sampled_from(["a", "b", "a.b", "a.0"]),
    st.one_of(SCALARS, st.lists(OPERATIONS, min_size=1, max_size=2).map(dict)),
    max_size=2,
)


def compiled(source: object) -> Condition:
    return compile_condition(source)


@given(source=SOURCES, data=DATA)
def test_matching_never_raises_and_agrees_with_its_explanation(source: Data, data: Data) -> None:
    condition = compiled(source)
    assert condition.matches(data) is all(clause.holds for clause in condition.explain(data))


@given(source=SOURCES, data=DATA)
def test_not_and_nor_are_the_opposite_and_and_and_or_of_one_change_nothing(source: Data, data: Data) -> None:
    plain = compiled(source).matches(data)
    assert compiled({"$not": source}).matches(data) is not plain
    assert compiled({"$nor": [source]}).matches(data) is not plain
    assert compiled({"$and": [source]}).matches(data) is plain
    assert compiled({"$or": [source]}).matches(data) is plain


@given(wanted=st.one_of(SCALARS, st.lists(OPERATIONS, min_size=1, max_size=1).map(dict)), value=VALUES)
def test_the_shortcut_for_plain_paths_agrees_with_the_general_way(wanted: object, value: object) -> None:
    assert compiled({"a": wanted}).matches({"a": value}) is compiled({"b.a": wanted}).matches({"b": {"a": value}})


def test_the_shortcut_for_plain_paths_tells_apart_what_looks_alike() -> None:
    for wanted in ALIKE:
        for source in (wanted, *({operator: wanted} for operator in ("$eq", "$gt", "$gte", "$lt", "$lte"))):
            near, far = compiled({"a": source}), compiled({"b.a": source})
            for value in ALIKE:
                assert near.matches({"a": value}) is far.matches({"b": {"a": value}}), (source, value)


def test_strict_equality_tells_apart_what_looks_alike() -> None:
    same = {(a, b) for a in range(len(ALIKE)) for b in range(len(ALIKE)) if a == b} | {
        (a, b) for a in range(5, 8) for b in range(5, 8)
    }
    for a, wanted in enumerate(ALIKE):
        for b, value in enumerate(ALIKE):
            assert compiled({"a": {"$eq": wanted}}).matches({"a": value}) is ((a, b) in same), (wanted, value)


@given(wanted=st.lists(SCALARS, max_size=4), value=SCALARS)
def test_in_is_strict_equality_with_one_of_the_list(wanted: list[object], value: object) -> None:
    one_of_them = any(compiled({"a": {"$eq": item}}).matches({"a": value}) for item in wanted)
    assert compiled({"a": {"$in": wanted}}).matches({"a": value}) is one_of_them
    assert compiled({"a": {"$nin": wanted}}).matches({"a": value}) is not one_of_them


@given(wanted=SCALARS, value=VALUES)
def test_order_is_a_total_answer_or_none_at_all(wanted: object, value: object) -> None:
    less, more, at_most, at_least = (
        compiled({"a": {operator: wanted}}).matches({"a": value}) for operator in ("$lt", "$gt", "$lte", "$gte")
    )
    assert (less, more, at_most, at_least) in {
        (True, False, True, False),
        (False, True, False, True),
        (False, False, True, True),
        (False, False, False, False),
    }


@given(number=st.decimals(-(10**6), 10**6, places=3), wanted=st.decimals(-(10**6), 10**6, places=3))
def test_a_number_answers_the_same_as_a_float_and_as_a_decimal(number: Decimal, wanted: Decimal) -> None:
    for operator in ("$eq", "$ne", "$gte", "$lt"):
        answers = {
            compiled({"a": {operator: operand}}).matches({"a": value})
            for operand in (wanted, float(wanted))
            for value in (number, float(number))
        }
        assert len(answers) == 1


@given(source=SOURCES, data=DATA)
def test_an_event_without_an_equality_key_does_not_match(source: Data, data: Data) -> None:
    condition = compiled(source)
    for path, wanted in condition.equality_keys():
        value = data.get(path)
        if not isinstance(value, list | dict) and not compiled({path: {"$eq": wanted}}).matches({path: value}):
            assert not condition.matches(data)


@given(source=SOURCES, data=DATA)
def test_the_order_of_keys_changes_neither_identity_nor_answer(source: Data, data: Data) -> None:
    turned = dict(reversed(source.items()))
    assert compiled(turned) == compiled(source)
    assert compiled(turned).matches(data) is compiled(source).matches(data)
