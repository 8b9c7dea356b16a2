"""Conditions over an event's data: the query form of MongoDB, with the answers of GrowthBook's SDKs.

Lives here: the grammar (paths, `$and $or $nor $not`, operators that hold conditions), its limits, and explaining.
Never: what an operator means (`condition_operators.py`) or how JSON values compare (`json_values.py`).
Everything is checked and compiled when a definition is saved or loaded; matching is a call of closures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from app.domain.clause import MISSING, Clause
from app.domain.condition_grammar import (
    GROUPS,
    HOLDERS,
    MAX_DEPTH,
    escaped,
    has_operators,
    refuse_operator_as_path,
    refuse_operators_inside,
    refuse_too_deep,
    refuse_unknown,
    refuse_unwritable,
)
from app.domain.condition_operators import OPERATORS, Test, equals, list_operand
from app.domain.condition_paths import find, test_at
from app.errors import InvalidDefinition

__all__ = ["MAX_CONDITIONS", "MAX_DEPTH", "MISSING", "Clause", "Condition", "compile_condition"]

MAX_CONDITIONS: Final = 50
EQUALITY: Final = frozenset({"$eq", "equals"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One operator on one path."""

    path: str
    operator: str
    wanted: object
    holds: Test

    def explain(self, data: object) -> Clause:
        return Clause(self.path, self.operator, self.wanted, find(data, self.path, MISSING), self.holds(data))


@dataclass(frozen=True, slots=True)
class _Group:
    """`$and`, `$or`, `$nor` or `$not` over conditions, each a conjunction."""

    operator: str
    wanted: object
    members: tuple[tuple[_Node, ...], ...]
    holds: Test

    def explain(self, data: object) -> Clause:
        inner = tuple(_as_one(member, data) for member in self.members)
        return Clause("", self.operator, self.wanted, MISSING, self.holds(data), inner)


_Node = Requirement | _Group


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A compiled condition. Two of the same meaning by form (keys in any order) are equal and hash alike.

    `matches(data)` says whether the decoded data of an event fulfils it; it never raises for decoded JSON.
    """

    source: Mapping[str, object]
    matches: Callable[[Mapping[str, object]], bool] = field(repr=False)
    _nodes: tuple[_Node, ...] = field(repr=False)
    _canonical: str = field(repr=False)
    _hash: int = field(repr=False)

    def explain(self, data: Mapping[str, object]) -> tuple[Clause, ...]:
        """Every requirement, in the order written; the condition matches when all of them hold."""
        return tuple(node.explain(data) for node in self._nodes)

    def verdicts(self, data: Mapping[str, object]) -> tuple[bool, ...]:
        """Which of `explain`'s clauses hold, in their order."""
        return tuple(node.holds(data) for node in self._nodes)

    def equality_keys(self) -> tuple[tuple[str, object], ...]:
        """What every match has: pairs of a plain path (no dots) and the scalar found there, None for null or missing.

        An event whose value there is another scalar cannot match; a list or an object there decides nothing, since
        GrowthBook compares it as text. For an index over definitions.
        """
        return tuple(
            (leaf.path, leaf.wanted)
            for leaf in self.requirements()
            if "." not in leaf.path and leaf.operator in EQUALITY and not isinstance(leaf.wanted, list | dict)
        )

    def requirements(self) -> tuple[Requirement, ...]:
        """What every match fulfils: the operators on paths that stand at the top or below `$and`."""
        return tuple(_leaves(self._nodes))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Condition) and self._canonical == other._canonical)

    def __hash__(self) -> int:
        return self._hash


def compile_condition(source: object) -> Condition:
    """The compiled form of a condition, decoded from JSON. `{}` matches every event.

    Raises InvalidDefinition (field: a JSON pointer below `/conditions`) for what is not an object, an unknown operator,
    a regular expression that RE2 refuses, a mistyped operand, an object that mixes operators and properties, operators
    of saved groups, nesting deeper than MAX_DEPTH, more than MAX_CONDITIONS requirements, and texts and numbers that
    JSON cannot write.
    """
    refuse_too_deep(source)
    refuse_unwritable(source)
    nodes = _Compiler().fields(source, "/conditions")
    canonical = repr(_canonical(source))
    matches = cast(Callable[[Mapping[str, object]], bool], _all_of(nodes))
    return Condition(cast(Mapping[str, object], source), matches, nodes, canonical, hash(canonical))


class _Compiler:
    """Walks one condition and counts its requirements."""

    def __init__(self) -> None:
        self._count = 0

    def fields(self, source: object, at: str) -> tuple[_Node, ...]:
        """An object whose keys are groups and paths; all must hold."""
        if not isinstance(source, dict):
            raise InvalidDefinition(at, "a condition is not an object.", 'Write for example {"plan": "pro"}.')
        nodes: list[_Node] = []
        for key, value in source.items():
            below = f"{at}/{escaped(key)}"
            if key in GROUPS:
                nodes.append(self._group(key, value, below))
            else:
                refuse_operator_as_path(key, below)
                nodes.extend(
                    Requirement(key, operator, wanted, test_at(key, operator, wanted, test))
                    for operator, wanted, test in self._value(value, below)
                )
        return tuple(nodes)

    def _group(self, operator: str, source: object, at: str) -> _Group:
        if operator == "$not":
            member = self.fields(source, at)
            inner = _all_of(member)
            return _Group(operator, source, (member,), lambda data: not inner(data))
        members = tuple(self.fields(item, f"{at}/{index}") for index, item in enumerate(list_operand(source, at)))
        tests = tuple(map(_all_of, members))
        return _Group(operator, source, members, _joined(operator, tests))

    def _value(self, source: object, at: str) -> list[tuple[str, object, Test]]:
        """What one path must fulfil: operators, or the short form of equality."""
        if source == {} and isinstance(source, dict):
            # No operator at all: nothing is required, as in GrowthBook.
            self._count_one(at)
            return [("equals", source, lambda _: True)]
        if isinstance(source, dict) and has_operators(source, at):
            return [(name, operand, self._operator(name, operand, f"{at}/{name}")) for name, operand in source.items()]
        self._count_one(at)
        refuse_operators_inside(source, at)
        return [("equals", source, equals(source))]

    def _value_test(self, source: object, at: str) -> Test:
        tests = tuple(test for _, _, test in self._value(source, at))
        return _every(tests)

    def _operator(self, name: str, operand: object, at: str) -> Test:
        if name in HOLDERS:
            return self._holder(name, operand, at)
        refuse_unknown(name, at)
        self._count_one(at)
        return OPERATORS[name](operand, at)

    def _holder(self, name: str, operand: object, at: str) -> Test:
        """An operator whose operand is itself a condition on a value."""
        if name == "$not":
            inner = self._value_test(operand, at)
            return lambda value: not inner(value)
        if name == "$size":
            size = self._size(operand, at)
            return lambda value: isinstance(value, list) and size(len(value))
        if name == "$elemMatch":
            element = self._element(operand, at)
            return lambda value: isinstance(value, list) and any(item is not None and element(item) for item in value)
        return self._all(operand, at, insensitive=name == "$alli")

    def _size(self, operand: object, at: str) -> Test:
        if not isinstance(operand, dict) and (isinstance(operand, bool) or not isinstance(operand, int)):
            raise InvalidDefinition(
                at, "the operand is not a whole number.", 'Give a number, or for example {"$gt": 2}.'
            )
        return self._value_test(operand, at)

    def _element(self, operand: object, at: str) -> Test:
        if not isinstance(operand, dict):
            raise InvalidDefinition(
                at, "the operand is not an object.", 'Give for example {"$eq": "a"} or {"sku": "a"}.'
            )
        on_value = operand and not any(key in {"$and", "$or", "$nor"} for key in operand) and has_operators(operand, at)
        return self._value_test(operand, at) if on_value else _all_of(self.fields(operand, at))

    def _all(self, operand: object, at: str, *, insensitive: bool) -> Test:
        tests: list[Test] = []
        for index, item in enumerate(list_operand(operand, at)):
            if insensitive and isinstance(item, str):
                self._count_one(at)
                tests.append(equals(item, insensitive=True))
            else:
                tests.append(self._value_test(item, f"{at}/{index}"))
        return lambda value: isinstance(value, list) and all(any(map(test, value)) for test in tests)

    def _count_one(self, at: str) -> None:
        self._count += 1
        if self._count > MAX_CONDITIONS:
            raise InvalidDefinition(at, f"there are more than {MAX_CONDITIONS} conditions.", "Use $in for many values.")


def _all_of(nodes: tuple[_Node, ...]) -> Test:
    return _every(tuple(node.holds for node in nodes))


def _every(tests: tuple[Test, ...]) -> Test:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda data: first(data) and second(data)

    def holds(data: object) -> bool:
        for test in tests:  # noqa: SIM110 - a loop costs half of all() with a generator, and this is the hot path
            if not test(data):
                return False
        return True

    return holds


def _any(tests: tuple[Test, ...]) -> Test:
    def holds(data: object) -> bool:
        for test in tests:
            if test(data):
                return True
        return not tests  # GrowthBook takes an empty $or as fulfilled, so an empty $nor never is

    return holds


def _joined(operator: str, tests: tuple[Test, ...]) -> Test:
    if operator == "$and":
        return _every(tests)
    some = _any(tests)
    return some if operator == "$or" else lambda data: not some(data)


def _as_one(nodes: tuple[_Node, ...], data: object) -> Clause:
    """The clause of one member of a group: its only requirement, or a nested `$and` of several."""
    clauses = tuple(node.explain(data) for node in nodes)
    if len(clauses) == 1:
        return clauses[0]
    return Clause("", "$and", None, MISSING, all(clause.holds for clause in clauses), clauses)


def _leaves(nodes: tuple[_Node, ...]) -> Iterator[Requirement]:
    for node in nodes:
        if isinstance(node, Requirement):
            yield node
        elif node.operator == "$and":
            for member in node.members:
                yield from _leaves(member)


def _canonical(source: object, *, is_fields: bool = True) -> object:
    """The same meaning in one form: keys sorted, but not those of objects that are compared whole, in their order."""
    if isinstance(source, list):
        return [_canonical(item, is_fields=is_fields) for item in source]
    if isinstance(source, dict) and (is_fields or any(key.startswith("$") for key in source)):
        return {key: _canonical(source[key], is_fields=key in {*GROUPS, "$elemMatch"}) for key in sorted(source)}
    return source
