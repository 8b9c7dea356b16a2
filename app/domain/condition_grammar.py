"""What a condition may be written like: the names of its operators, where they may stand, and what is refused why.

Lives here: refusals by form, each naming the place and the remedy. Never: compiling or matching.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from app.domain.condition_operators import OPERATORS
from app.domain.json_values import find_unwritable
from app.errors import InvalidDefinition

MAX_DEPTH: Final = 16

GROUPS: Final = ("$and", "$or", "$nor", "$not")
"""They join conditions."""
HOLDERS: Final = ("$not", "$size", "$elemMatch", "$all", "$alli")
"""Operators on a value whose operand is a condition on values."""
KNOWN: Final = (*OPERATORS, *HOLDERS)
"""Every operator on a value."""

_SAVED_GROUPS: Final = ("$inGroup", "$notInGroup", "$savedGroup", "$savedGroups")
_LIKELY_MISTYPED: Final = 0.75


def has_operators(source: dict[str, object], at: str) -> bool:
    """Whether an object is one of operators; a mixture can never match and is refused."""
    operators = [key for key in source if key.startswith("$")]
    if operators and len(operators) < len(source):
        stray = next(key for key in source if not key.startswith("$"))
        problem = f"operators and properties are mixed ({operators[0]} and {stray!r}), which can never match."
        raise InvalidDefinition(at, problem, "Write the property as a path of its own, with dots.")
    return bool(operators)


def refuse_unknown(name: str, at: str) -> None:
    if name in OPERATORS:
        return
    if name in _SAVED_GROUPS:
        raise InvalidDefinition(at, f"{name} needs GrowthBook's saved groups.", "List the values with $in or $nin.")
    if name in GROUPS:
        problem = f"{name} joins conditions and cannot stand below a property."
        raise InvalidDefinition(at, problem, "Put it at the top, with the property inside.")
    near = get_close_matches(name, KNOWN, 1, 0.0)[0]
    raise InvalidDefinition(at, f"{name} is not an operator.", f"Did you mean {near}?")


def refuse_operator_as_path(key: str, at: str) -> None:
    """A property may begin with a dollar sign; a misplaced or mistyped operator is not one."""
    if not key.startswith("$"):
        return
    if key in _SAVED_GROUPS:
        raise InvalidDefinition(at, f"{key} needs GrowthBook's saved groups.", "List the values with $in or $nin.")
    if key in KNOWN:
        problem = f"{key} stands where a property belongs."
        raise InvalidDefinition(at, problem, f'Name the property: {{"plan": {{"{key}": ...}}}}.')
    near = get_close_matches(key, (*GROUPS, *KNOWN), 1, _LIKELY_MISTYPED)
    if near:
        raise InvalidDefinition(at, f"{key} is not an operator.", f"Did you mean {near[0]}?")


def refuse_operators_inside(source: object, at: str) -> None:
    """Inside a list or an object that is compared whole, an operator would be text and never match."""
    if isinstance(source, dict):
        for key, value in source.items():
            below = f"{at}/{escaped(key)}"
            if key in KNOWN or key in GROUPS:
                problem = f"{key} is inside an object that is compared as a whole, where operators do not work."
                raise InvalidDefinition(below, problem, 'Use a path with dots: {"address.city": {...}}.')
            refuse_operators_inside(value, below)
    elif isinstance(source, list):
        for index, item in enumerate(source):
            refuse_operators_inside(item, f"{at}/{index}")


def refuse_too_deep(source: object) -> None:
    level = [source]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    if any(isinstance(item, dict | list) for item in level):
        problem = f"the conditions are nested deeper than {MAX_DEPTH} levels."
        raise InvalidDefinition("/conditions", problem, "Flatten them with dotted paths.")


def refuse_unwritable(source: object) -> None:
    """Half of a character would be stored, and no list that has it could be answered."""
    found = find_unwritable(source, "/conditions")
    if found is not None:
        raise InvalidDefinition(*found)


def escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
