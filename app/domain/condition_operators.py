"""The operators of conditions that look at one value: the table, and what each accepts as its operand.

Lives here: what `$gte` and its kin mean, and the short form `{"plan": "pro"}`. Never: paths, `$and` and its kin, or the
operators that hold conditions (`$not $size $elemMatch $all $alli`): those are in `condition.py`.
Each entry turns an operand into a test when the definition is saved; a mistyped operand raises InvalidDefinition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, cast

import re2

from app.domain import json_values as json
from app.errors import InvalidDefinition

Test = Callable[[object], bool]

MAX_REGEX_CHARACTERS: Final = 512
TYPE_NAMES: Final = ("string", "number", "boolean", "object", "array", "null", "undefined")
_REGEX_MEMORY_BYTES: Final = 4 << 20
_REMEMBERED_TEXTS: Final = 64
_REMEMBERED_CHARACTERS: Final = 200
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def equals(wanted: object, *, insensitive: bool = False) -> Test:
    """The short form: equal and of the same type; lists and objects whole and in order; null finds what is missing."""
    if isinstance(wanted, str):
        return _equals_text_in_any_case(wanted) if insensitive else _equals_text(wanted)
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    if wanted is None:
        return lambda value: value is None
    if isinstance(wanted, int | float | Decimal):
        return _equals_number(wanted)
    return lambda value: json.equals_deeply(value, wanted)


def _equals_text(wanted: str) -> Test:
    def holds(value: object) -> bool:
        return value == wanted and isinstance(value, str)

    return holds


def _equals_number(wanted: json.Number) -> Test:
    comparable = type(wanted) is int or type(wanted) is float

    def holds(value: object) -> bool:
        if comparable and (type(value) is int or type(value) is float):
            return value == wanted
        return json.kind_of(value) == "number" and json.compare(value, wanted) == 0

    return holds


def _equals_text_in_any_case(wanted: str) -> Test:
    lowered = wanted.lower()
    return lambda value: isinstance(value, str) and value.lower() == lowered


def _equals_strictly(operand: object, at: str) -> Test:
    del at
    if isinstance(operand, list | dict):
        return lambda value: json.equals_deeply(value, operand)
    return _is_member([operand])


def _is_member(wanted: list[object]) -> Test:
    """Strict membership of a scalar, by hash. Lists and objects in `wanted` are never members, as in JavaScript."""
    texts = frozenset(item for item in wanted if isinstance(item, str))
    numbers = frozenset(form for item in wanted if json.kind_of(item) == "number" for form in _forms_of(item))
    flags = frozenset(item for item in wanted if isinstance(item, bool))
    has_null = None in wanted

    def holds(value: object) -> bool:
        if isinstance(value, str):
            return value in texts
        if isinstance(value, bool):
            return value in flags
        if value is None:
            return has_null
        return isinstance(value, int | float | Decimal) and value in numbers

    return holds


def _forms_of(number: object) -> tuple[object, ...]:
    """A number as each type that an event's number may have holds it."""
    if isinstance(number, float):
        return (number, json.written(number))
    return (number, float(number)) if isinstance(number, Decimal) else (number,)


def _ordered(accepts: Callable[[int], bool]) -> Callable[[object, str], Test]:
    def compile_order(operand: object, at: str) -> Test:
        if isinstance(operand, list | dict):
            raise InvalidDefinition(at, "the operand has no order.", "Give a number or a text.")

        def holds(value: object) -> bool:
            order = json.compare(value, operand)
            return order is not None and accepts(order)

        return holds

    return compile_order


def _versions(accepts: Callable[[int], bool]) -> Callable[[object, str], Test]:
    def compile_version(operand: object, at: str) -> Test:
        if isinstance(operand, bool) or not isinstance(operand, str | int | float | Decimal):
            raise InvalidDefinition(at, "the operand is not a version.", 'Give a text such as "1.2.3".')
        wanted = padded_version(operand)
        # A number is a version to a number only: 1.5 is not "1.5".
        kind = json.kind_of(operand)

        def holds(value: object) -> bool:
            return json.kind_of(value) == kind and accepts(
                json.compare_texts(padded_version(cast("str | json.Number", value)), wanted)
            )

        return holds

    return compile_version


_VERSION_DECORATION: Final = re.compile("^v|\\+[^\n\r\u2028\u2029]*\\Z")
_VERSION_BREAK: Final = re.compile("[-.]")
_DIGITS: Final = re.compile("[0-9]+")
_RELEASE_PARTS: Final = 3


def padded_version(value: str | json.Number) -> str:
    """A version as text whose order is the versions' order."""
    text = value if isinstance(value, str) else json.text_of_number(value)
    parts = _VERSION_BREAK.split(_VERSION_DECORATION.sub("", text or "0"))
    if len(parts) == _RELEASE_PARTS:
        parts.append("~")  # sorts after every letter: a release is newer than its own pre-releases
    return "-".join(part.rjust(5) if _DIGITS.fullmatch(part) else part for part in parts)


def _exists(operand: object, at: str) -> Test:
    if not isinstance(operand, bool):
        raise InvalidDefinition(at, "the operand is not a boolean.", "Give true or false.")
    return (lambda value: value is not None) if operand else (lambda value: value is None)


def _type(operand: object, at: str) -> Test:
    if operand not in TYPE_NAMES:
        raise InvalidDefinition(at, f"{operand!r} is not the name of a type.", f"Give one of {', '.join(TYPE_NAMES)}.")
    return lambda value: json.kind_of(value) == operand


def _in(*, insensitive: bool = False) -> Callable[[object, str], Test]:
    def compile_in(operand: object, at: str) -> Test:
        wanted = list_operand(operand, at)
        if not insensitive:
            member = _is_member(wanted)
        else:
            lowered = _is_member([item.lower() if isinstance(item, str) else item for item in wanted])

            def member(value: object) -> bool:
                return lowered(value.lower() if isinstance(value, str) else value)

        return lambda value: any(map(member, value)) if isinstance(value, list) else member(value)

    return compile_in


def list_operand(operand: object, at: str) -> list[object]:
    """The operand, if it is a list."""
    if not isinstance(operand, list):
        raise InvalidDefinition(at, "the operand is not a list.", "Put the values into [ ].")
    return operand


def _regex(*, insensitive: bool = False) -> Callable[[object, str], Test]:
    def compile_regex(operand: object, at: str) -> Test:
        if not isinstance(operand, str):
            raise InvalidDefinition(at, "the operand is not a text.", "Give a regular expression as text.")
        if len(operand) > MAX_REGEX_CHARACTERS:
            problem = f"the regular expression has more than {MAX_REGEX_CHARACTERS} characters."
            raise InvalidDefinition(at, problem, "Shorten it, or use $in for a list of texts.")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _REGEX_MEMORY_BYTES
        options.case_sensitive = not insensitive
        try:
            # Bytes on both sides: for text the package counts characters after every search.
            search = re2.compile(_utf8(operand), options).search
        except re2.error as error:
            cause = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
            problem = f"the regular expression is not valid in RE2: {cause}."
            remedy = "RE2 has no look-around and no back-references; the rest is as in JavaScript."
            raise InvalidDefinition(at, problem, remedy) from None
        return _remembering(lambda text: search(_utf8(text)) is not None)

    return compile_regex


def _remembering(holds: Callable[[str], bool]) -> Test:
    """The same for a text as before, at a tenth of a search's cost: plans, countries and categories come again."""
    known: dict[str, bool] = {}

    def test(value: object) -> bool:
        if not isinstance(value, str):
            return False
        found = known.get(value)
        if found is None:
            found = holds(value)
            if len(value) <= _REMEMBERED_CHARACTERS:
                if len(known) >= _REMEMBERED_TEXTS:
                    known.clear()
                known[value] = found
        return found

    return test


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()


def _negated(compile_test: Callable[[object, str], Test]) -> Callable[[object, str], Test]:
    def compile_negation(operand: object, at: str) -> Test:
        test = compile_test(operand, at)
        return lambda value: not test(value)

    return compile_negation


OPERATORS: Final[Mapping[str, Callable[[object, str], Test]]] = {
    "$eq": _equals_strictly,
    "$ne": _negated(_equals_strictly),
    "$gt": _ordered(lambda order: order > 0),
    "$gte": _ordered(lambda order: order >= 0),
    "$lt": _ordered(lambda order: order < 0),
    "$lte": _ordered(lambda order: order <= 0),
    "$in": _in(),
    "$nin": _negated(_in()),
    "$ini": _in(insensitive=True),
    "$nini": _negated(_in(insensitive=True)),
    "$exists": _exists,
    "$type": _type,
    "$regex": _regex(),
    "$regexi": _regex(insensitive=True),
    "$notRegex": _negated(_regex()),
    "$notRegexi": _negated(_regex(insensitive=True)),
    "$veq": _versions(lambda order: order == 0),
    "$vne": _negated(_versions(lambda order: order == 0)),
    "$vgt": _versions(lambda order: order > 0),
    "$vgte": _versions(lambda order: order >= 0),
    "$vlt": _versions(lambda order: order < 0),
    "$vlte": _versions(lambda order: order <= 0),
}
"""Operator -> what makes its test out of an operand; `at` is the operand's JSON pointer, for the error."""
