"""Clauses in words that need no knowledge of JSON or operators: what was wanted, and what was found. Pure.

The preview, `explain` and the page say it this way; the command line keeps the operators, for those who write them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from app.domain.clause import MISSING, Clause
from app.domain.json_values import text_of_number

_LONGEST: Final = 120
_SUBJECTS: Final = {
    "eventType": "the event type",
    "url": "the address",
    "sessionId": "a session",
    "userId or visitorId": "a visitor",
}
_VERBS: Final = {
    "equals": "is",
    "$eq": "is",
    "$ne": "is not",
    "$gt": "is more than",
    "$gte": "is at least",
    "$lt": "is less than",
    "$lte": "is at most",
    "$in": "is one of",
    "$nin": "is none of",
    "$ini": "is, in any case, one of",
    "$nini": "is, in any case, none of",
    "$all": "holds all of",
    "$alli": "holds, in any case, all of",
    "$regex": "fits the pattern",
    "$notRegex": "does not fit the pattern",
    "$regexi": "fits, in any case, the pattern",
    "$notRegexi": "does not, in any case, fit the pattern",
    "$type": "is of the type",
    "$size": "has a number of elements that is",
    "$elemMatch": "has an element with",
    "$veq": "is the version",
    "$vne": "is not the version",
    "$vgt": "is a later version than",
    "$vgte": "is at least the version",
    "$vlt": "is an earlier version than",
    "$vlte": "is at most the version",
    "matches the URL pattern": "fits",
}
_GROUPS: Final = {"$and": "all of", "$or": "at least one of", "$nor": "none of", "$not": "not"}
_PARTS: Final = {"$size": ("a number of elements", "that"), "$elemMatch": ("an element", "it")}
_LISTS: Final = frozenset({"$in", "$nin", "$ini", "$nini", "$all", "$alli"})


def describe_clause(path: str, operator: str, wanted: object) -> str:
    """What a clause asks: `plan is "pro"`, `amount is at least 50`."""
    subject = _SUBJECTS.get(path, path)
    if operator in _GROUPS and not path:
        return _GROUPS[operator]
    if operator == "is given":
        return f"{subject} is given"
    if operator == "$exists":
        return f"{subject} is {'given' if wanted else 'missing'}"
    if operator == "$not":
        return f"not: {_describe_value(subject, wanted)}"
    if operator in _PARTS and isinstance(wanted, Mapping):
        has, it = _PARTS[operator]
        return f"{subject} has {has}, and {_describe_value(it, wanted)}"
    if operator in {"equals", "$eq"} and wanted is None:
        return f"{subject} is empty or missing"
    shown = str(wanted) if path == "url" else _wanted(operator, wanted)
    return f"{subject} {_VERBS.get(operator, operator)} {shown}".strip()


def _describe_value(subject: str, wanted: object) -> str:
    """What a condition inside another one asks of a value, or of the properties below it."""
    if not isinstance(wanted, Mapping):
        return describe_clause(subject, "equals", wanted)
    told = []
    for key, operand in wanted.items():
        if key in _GROUPS and key != "$not" and isinstance(operand, list):
            told.append(f"{_GROUPS[key]} ({'; '.join(_describe_value(subject, one) for one in operand)})")
        elif key.startswith("$"):
            told.append(describe_clause(subject, key, operand))
        else:
            told.append(_describe_value(key, operand))
    return _shortened(" and ".join(told)) or "anything"


def describe_wanted(clause: Clause) -> str:
    """What a clause asks, with the members of a group."""
    asked = describe_clause(clause.path, clause.operator, clause.wanted)
    members = "; ".join(describe_wanted(member) for member in clause.clauses[:6])
    return f"{asked} ({members})" if members else asked


def describe_found(clause: Clause) -> str:
    """What the event has there: `found "free"`, `nothing there`. Empty for a group."""
    if clause.clauses:
        return ""
    if clause.found is MISSING or (clause.found is None and clause.path in _SUBJECTS):
        return "nothing there"
    return f"found {_value(clause.found)}"


def describe(clause: Clause) -> str:
    """A verdict on one line: `plan is "pro": no, found "free"`."""
    verdict = "yes" if clause.holds else "no"
    asked = describe_clause(clause.path, clause.operator, clause.wanted)
    if clause.clauses:
        inner = "; ".join(describe(member) for member in clause.clauses[:4])
        return f"{asked} ({inner}): {verdict}"
    return f"{asked}: {verdict}, {describe_found(clause)}"


def _wanted(operator: str, wanted: object) -> str:
    if operator in _LISTS and isinstance(wanted, list | tuple):
        return _shortened(", ".join(_value(one) for one in wanted)) or "nothing"
    return _value(wanted)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing (null)"
    text = f'"{value}"' if isinstance(value, str) else _number_or_json(value)
    return _shortened(text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _number_or_json(value: object) -> str:
    if isinstance(value, int | float | Decimal):
        return text_of_number(value)
    return json.dumps(value, ensure_ascii=False, default=str)
