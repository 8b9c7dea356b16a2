"""Where a condition looks: dotted paths through decoded JSON, and the quickest test of a value found there.

Lives here: finding, and shortcuts for the commonest tests that give the same answers as the tests they replace.
Never: what an operator means.
"""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.domain.condition_operators import Test
from app.domain.json_values import is_array_index

_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": python.gt,
    "$gte": python.ge,
    "$lt": python.lt,
    "$lte": python.le,
}


def find(data: object, path: str, absent: object) -> object:
    """The value at a dotted path, else `absent`. Lists have their indices and `length`, as in JavaScript."""
    return _find(data, path.split("."), absent)


def _find(data: object, parts: list[str], absent: object) -> object:
    current = data
    for part in parts:
        if type(current) is dict or isinstance(current, Mapping):
            if part not in current:
                return absent
            current = current[part]
        elif isinstance(current, list):
            if part == "length":
                current = len(current)
            elif is_array_index(part) and int(part) < len(current):
                current = current[int(part)]
            else:
                return absent
        else:
            return absent
    return current


def test_at(path: str, operator: str, wanted: object, test: Test) -> Test:
    """A test of data that applies `test`, the compiled form of `operator` and `wanted`, to the value at the path."""
    if "." in path:
        parts = path.split(".")
        return lambda data: test(_find(data, parts, None))
    if operator == "equals" and isinstance(wanted, str):
        return _text_at(path, wanted, test)
    if operator in _ORDERS and type(wanted) in {int, float}:
        return _number_at(path, _ORDERS[operator], wanted, test)

    def holds(data: object) -> bool:
        return test(data.get(path) if type(data) is dict else _find(data, [path], None))

    return holds


def _text_at(key: str, wanted: str, test: Test) -> Test:
    def holds(data: object) -> bool:
        value = data.get(key) if type(data) is dict else _find(data, [key], None)
        return value == wanted if type(value) is str else test(value)

    return holds


def _number_at(key: str, order: Callable[[Any, Any], bool], wanted: object, test: Test) -> Test:
    def holds(data: object) -> bool:
        value = data.get(key) if type(data) is dict else _find(data, [key], None)
        kind = type(value)
        return order(value, wanted) if kind is int or kind is float else test(value)

    return holds
