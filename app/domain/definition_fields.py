"""Reading a definition's fields: the checks that all definitions share, each problem named by its field.

Pure. Which fields there are, and what must hold between them, stands in `conversion_goal.py` and `goal_definition.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Final, TypeVar
from unicodedata import category

from app.domain.json_values import equals_deeply, find_unwritable
from app.errors import InvalidDefinition, raise_together

Choice = TypeVar("Choice", bound=StrEnum)
T = TypeVar("T")

MAX_TEXT: Final = 200
LARGEST: Final = Decimal(10) ** 15
"""The greatest absolute value of a target or a baseline."""

_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE_BREAK: Final = re.compile("[\t\n\r]")
_STEP: Final = Decimal("0.000001")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Mn", "Zl", "Zp", "Zs"})
_FILLERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a symbol by their category, and yet nothing is drawn."""


_EMPTY: Final = ("it is empty.", "Give it as a string.")
_INVISIBLE: Final = ("it has invisible characters alone.", "Give one that can be read.")


class Fields:
    """A definition's body while it is read. Problems are collected; `finish` raises them together.

    Every reading method returns a harmless stand-in when it finds a problem, so that the others are still read. `null`
    stands for a field that is absent.
    """

    def __init__(self, body: object, names: Sequence[str]) -> None:
        if not isinstance(body, Mapping):
            raise InvalidDefinition("", "it is not an object.", "Send a JSON object with the definition's fields.")
        self._body: Mapping[str, object] = body
        self._problems: list[InvalidDefinition] = []
        for name in body:
            if name not in names:
                self._problems.append(unknown_field(str(name), names))

    def has(self, name: str) -> bool:
        return self._body.get(name) is not None

    def problem(self, name: str, problem: str, remedy: str = "") -> None:
        """Note a problem of a field; the first of each field is kept."""
        pointer = f"/{_escaped(name)}"
        if all(known.field != pointer for known in self._problems):
            self._problems.append(InvalidDefinition(pointer, problem, remedy))

    def finish(self) -> None:
        """Raise what was found: the first problem, with the others in it."""
        raise_together(self._problems)

    def text(self, name: str, *, required: bool = False, lines: bool = False, most: int = MAX_TEXT) -> str:
        """A string without control characters; one that shows nothing is only allowed where it is not required."""
        value = self._body.get(name)
        if value is None:
            if required:
                self.problem(name, "it is missing.", "Give it as a string.")
            return ""
        if not isinstance(value, str):
            self.problem(name, f"it is {_kind(value)}, not a string.", _as_string(value))
        elif len(value) > most:
            self.problem(name, f"it has {len(value)} characters.", f"At most {most} are allowed.")
        elif _UNPRINTABLE.search(value) or (not lines and _LINE_BREAK.search(value)):
            self.problem(name, "it holds control characters.", "Leave them out.")
        elif required and is_blank(value):
            self.problem(name, *(_INVISIBLE if value.strip() else _EMPTY))
        else:
            return value
        return ""

    def choice(self, name: str, kind: type[Choice], default: Choice) -> Choice:
        return self.optional_choice(name, kind) or default

    def optional_choice(self, name: str, kind: type[Choice]) -> Choice | None:
        value = self._body.get(name)
        if value is None:
            return None
        allowed = _choices(kind)
        if isinstance(value, str) and value in allowed:
            return kind(value)
        nearest = get_close_matches(str(value).lower(), allowed, n=1)
        shown = quoted(value) if isinstance(value, str) else _kind(value)
        self.problem(
            name,
            f"it is {shown}.",
            f"Did you mean {nearest[0]!r}?" if nearest else f"One of: {', '.join(allowed)}.",
        )
        return None

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if value is not None and not isinstance(value, bool):
            self.problem(name, f"it is {_kind(value)}, not true or false.", "Give true or false, without quotes.")
        return value is True

    def number(self, name: str) -> Decimal | None:
        """An exact number of at most six decimals; None when it is absent or wrong."""
        value = self._body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            self.problem(name, f"it is {_kind(value)}, not a number.", "Give it without quotes, like 1000 or 19.9.")
            return None
        # The shortest text of a float is what was written in the JSON.
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not number.is_finite() or abs(number) > LARGEST:
            self.problem(name, "it is too large.", "At most 1000000000000000 is allowed.")
        elif number != number.quantize(_STEP):
            self.problem(name, "it has more than six decimals.", "Sums are kept in millionths.")
        else:
            return number
        return None

    def texts(self, name: str, *, most: int) -> tuple[str, ...] | None:
        """A list of different, non-empty strings, in order; None when it is absent or wrong."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            self.problem(name, f"it is {_kind(value)}, not an array of strings.", 'Put them into [ ], like ["a", "b"].')
        elif not value:
            self.problem(name, "it is empty.", "Name at least one, or leave the field out.")
        elif len(value) > most:
            self.problem(name, f"it has {len(value)} elements.", f"At most {most} are allowed.")
        else:
            wrong = [
                index for index, one in enumerate(value) if not (isinstance(one, str) and 0 < len(one) <= MAX_TEXT)
            ]
            if wrong:
                remedy = f"Give 1 to {MAX_TEXT} characters, in quotes."
                self._problems.append(InvalidDefinition(f"/{name}/{wrong[0]}", "it is not a non-empty string.", remedy))
            elif unwritable := find_unwritable(value, f"/{name}"):
                self._problems.append(InvalidDefinition(*unwritable))
            else:
                return tuple(dict.fromkeys(value))
        return None

    def compiled(self, name: str, compile_field: Callable[[object], T]) -> T | None:
        """A field that another module compiles; its InvalidDefinition names the field itself."""
        value = self._body.get(name)
        if value is None:
            return None
        try:
            return compile_field(value)
        except InvalidDefinition as problem:
            self._problems.append(problem)
            return None


def is_blank(text: str) -> bool:
    """Whether nobody would see anything of it: white space, zero-width characters, marks on nothing, fillers."""
    return all(one in _FILLERS or category(one) in _UNSEEN for one in text)


def without_nulls(body: Mapping[str, object]) -> dict[str, object]:
    """A body as it is stored. Compile it before: of a field with a wrong name and nothing in it, nothing is left."""
    return {name: value for name, value in body.items() if value is not None}


def differing(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The fields in which two bodies do not say the same to an event, in their order.

    What Python takes for equal may not be: `true` is not 1, and an object that is compared whole has an order.
    """
    names = dict.fromkeys([*before, *after])
    return [name for name in names if not equals_deeply(before.get(name), after.get(name))]


def unknown_field(name: str, names: Sequence[str]) -> InvalidDefinition:
    """What to say of a field that is not among `names`, with the nearest of them."""
    return InvalidDefinition(f"/{_escaped(name)}", "there is no such field.", _nearest_of(name, names))


def unknown_parameter(name: str, names: Sequence[str]) -> InvalidDefinition:
    """The same of a parameter in an address."""
    remedy = _nearest_of(name, names) if names else "This path takes none."
    return InvalidDefinition(f"/{_escaped(name)}", "there is no such parameter.", remedy)


def repeated_parameter(name: str, values: Sequence[str]) -> InvalidDefinition:
    """A parameter that an address has more than once: nobody can say which was meant."""
    given = ", ".join(repr(value[:60]) for value in values[:5])
    return InvalidDefinition(f"/{_escaped(name)}", f"it is given {len(values)} times: {given}.", "Give it once.")


def _nearest_of(name: str, names: Sequence[str]) -> str:
    by_folded = {_folded(known): known for known in names}
    nearest = get_close_matches(_folded(name), by_folded, n=1, cutoff=0.7)
    return f"Did you mean {by_folded[nearest[0]]!r}?" if nearest else f"Known are: {', '.join(names)}."


@cache
def _choices(kind: type[StrEnum]) -> tuple[str, ...]:
    return tuple(str(member) for member in kind)


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def quoted(text: str) -> str:
    """As it is shown in a problem: in quotes, and not too long."""
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _as_string(value: object) -> str:
    """The remedy where a string is wanted."""
    if isinstance(value, int | float | Decimal):
        return "Put it in quotes."
    return "Give it as one string, in quotes."


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, Mapping):
        return "an object"
    return "null" if value is None else "an array"
