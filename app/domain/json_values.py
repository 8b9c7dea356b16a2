"""How conditions compare JSON values: by type, as GrowthBook's SDKs do now. Another type is never equal.

Lives here: kind, order and equality of decoded JSON (`None bool int float Decimal str list dict`), and what of it has
no JSON text. Never: an operator or a path. Numbers are compared exactly, not after rounding to binary floats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import inf, isfinite
from typing import Any, Final, cast

import msgspec

Number = int | float | Decimal

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_ARRAY_INDEX: Final = 2**32 - 2
_SHOWN_WHOLE: Final = 10**21
"""From here on a number is shown with an exponent."""


def find_unwritable(value: object, at: str) -> tuple[str, str, str] | None:
    """What of a value, found at the pointer `at`, has no JSON text that everybody can read: where it stands, the
    problem and the remedy. None where all of it has one."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            return at, "it holds half of a surrogate pair.", "Write the character itself."
        return None
    if isinstance(value, float | Decimal):
        is_finite = value.is_finite() if isinstance(value, Decimal) else isfinite(value)
        return None if is_finite else (at, "it is no number that JSON knows.", "Give one of at most 1.7e308.")
    if isinstance(value, Mapping):
        inside = [pair for key, held in value.items() for pair in ((key, at), (held, f"{at}/{_pointed(key)}"))]
    else:
        inside = [(held, f"{at}/{index}") for index, held in enumerate(value)] if isinstance(value, list) else []
    return next((found for held, place in inside if (found := find_unwritable(held, place))), None)


def writable(value: Any) -> Any:
    """The value with half surrogate pairs as their escapes, for readers; itself where it holds none."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return _written_out(value)
    return value


def _written_out(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_written_out(key): _written_out(held) for key, held in value.items()}
    return [_written_out(held) for held in value] if isinstance(value, list) else value


def _pointed(key: str) -> str:
    """A key as a part of a pointer, which itself can be written."""
    return str(_written_out(key.replace("~", "~0").replace("/", "~1")))


def kind_of(value: object) -> str:
    """The name of a value's type as `$type` says it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "object" if isinstance(value, Mapping) else "array"


def text_of_number(number: Number) -> str:
    """The number as JavaScript writes it."""
    if isinstance(number, int) and -_SHOWN_WHOLE < number < _SHOWN_WHOLE:
        return str(number)
    try:
        rounded = float(number)
    except OverflowError:
        rounded = inf if number > 0 else -inf
    if not isfinite(rounded):
        return "NaN" if rounded != rounded else "Infinity" if rounded > 0 else "-Infinity"
    if rounded.is_integer() and abs(rounded) < _SHOWN_WHOLE:
        return str(int(rounded))
    sign, digits, exponent = Decimal(repr(rounded)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    point = len(shown) + int(exponent)
    if 0 < point <= 21:
        body = shown.ljust(point, "0") if len(shown) <= point else f"{shown[:point]}.{shown[point:]}"
    elif -6 < point <= 0:
        body = "0." + "0" * -point + shown
    else:
        mantissa = shown if len(shown) == 1 else f"{shown[0]}.{shown[1:]}"
        body = f"{mantissa}e{point - 1:+d}"
    return f"-{body}" if sign else body


def written(number: Number) -> Decimal | int:
    """The number as it was written in decimal: 0.1 is one tenth, whichever type holds it."""
    return Decimal(repr(number)) if isinstance(number, float) else number


def compare(left: object, right: object) -> int | None:
    """-1, 0 or 1 of two numbers or two texts; None where nothing is true of them: other types have no order."""
    if isinstance(left, str) and isinstance(right, str):
        return compare_texts(left, right)
    if kind_of(left) != "number" or kind_of(right) != "number":
        return None
    a, b = cast(Number, left), cast(Number, right)
    if a != a or b != b:  # only NaN differs from itself, and math.isnan fails on a large int
        return None
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        a, b = written(a), written(b)
    return (a > b) - (a < b)


def compare_texts(left: str, right: str) -> int:
    """-1, 0 or 1 by UTF-16 code units; Python's own order differs from it beyond the basic plane."""
    if left.isascii() or right.isascii():
        return (left > right) - (left < right)
    a, b = left.encode("utf-16-be", "surrogatepass"), right.encode("utf-16-be", "surrogatepass")
    return (a > b) - (a < b)


def equals_strictly(left: object, right: object) -> bool:
    """JavaScript's `===` of two JSON scalars; no list or object is the same as another."""
    kind = kind_of(left)
    if kind != kind_of(right) or kind in {"array", "object"}:
        return False
    return left == right or (kind == "number" and compare(left, right) == 0)


def equals_deeply(left: object, right: object) -> bool:
    """Whether both are the same JSON text, as JSON.stringify writes it: the order of an object's keys matters."""
    if isinstance(left, Mapping):
        if not isinstance(right, Mapping) or len(left) != len(right):
            return False
        keys = _keys_in_order(left)
        return keys == _keys_in_order(right) and all(equals_deeply(left[key], right[key]) for key in keys)
    if isinstance(left, str) or not isinstance(left, Sequence):
        return equals_strictly(left, right)
    if isinstance(right, str) or not isinstance(right, Sequence) or len(left) != len(right):
        return False
    return all(map(equals_deeply, left, right))


def _keys_in_order(value: Mapping[str, object]) -> list[str]:
    indices = [key for key in value if is_array_index(key)]
    if not indices:
        return list(value)
    return sorted(indices, key=int) + [key for key in value if not is_array_index(key)]


def is_array_index(key: str) -> bool:
    """Whether JavaScript takes the key for the index of an array."""
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _MAX_ARRAY_INDEX
