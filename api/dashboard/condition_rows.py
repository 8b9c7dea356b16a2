"""Conditions as rows of a form: a property, a comparison in words, a value. Pure.

Rows are joined by AND. What rows cannot say ($or, nested conditions) is written as JSON instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

OPERATORS: Final = (
    ("$eq", "is"),
    ("$ne", "is not"),
    ("$in", "is one of"),
    ("$nin", "is none of"),
    ("$gte", "is at least"),
    ("$gt", "is more than"),
    ("$lte", "is at most"),
    ("$lt", "is less than"),
    ("$exists", "is given"),
    ("$missing", "is missing"),
    ("$regex", "fits the pattern"),
)
"""Operator -> words. `$missing` is a word of the form only: `{"$exists": false}`."""
_KNOWN: Final = {operator for operator, _ in OPERATORS} - {"$missing"}
_LISTS: Final = {"$in", "$nin"}
_TEXTS: Final = {"$regex"}


class Row(NamedTuple):
    """One condition as it is typed."""

    property: str = ""
    operator: str = "$eq"
    value: str = ""


def to_conditions(rows: Sequence[Row]) -> dict[str, object] | None:
    """The conditions that the rows stand for; None without any."""
    clauses = [{row.property: _operand(row)} for row in rows if row.property.strip()]
    if not clauses:
        return None
    names = [name for clause in clauses for name in clause]
    if len(set(names)) == len(names):
        return {name: operand for clause in clauses for name, operand in clause.items()}
    return {"$and": clauses}


def _operand(row: Row) -> object:
    if row.operator == "$missing":
        return {"$exists": False}
    if row.operator == "$exists":
        return {"$exists": True}
    if row.operator in _LISTS:
        return {row.operator: [read_value(one) for one in _split(row.value)]}
    value = row.value if row.operator in _TEXTS else read_value(row.value)
    return value if row.operator == "$eq" else {row.operator: value}


def to_rows(conditions: Mapping[str, object] | None) -> list[Row] | None:
    """The rows that stand for the conditions; None when rows cannot say it."""
    rows: list[Row] = []
    for name, operand in (conditions or {}).items():
        if name == "$and" and isinstance(operand, list) and all(isinstance(one, Mapping) for one in operand):
            for one in operand:
                inner = to_rows(one)
                if inner is None:
                    return None
                rows.extend(inner)
            continue
        found = None if name.startswith("$") else _rows_of(name, operand)
        if found is None:
            return None
        rows.extend(found)
    return rows


def _rows_of(name: str, operand: object) -> list[Row] | None:
    if isinstance(operand, list):
        return None
    if not isinstance(operand, Mapping):
        return [Row(name, "$eq", show_value(operand))]
    if not operand or not set(operand) <= _KNOWN:
        return None
    rows = []
    for operator, wanted in operand.items():
        if operator == "$exists":
            rows.append(Row(name, "$exists" if wanted else "$missing"))
        elif operator in _LISTS and isinstance(wanted, list):
            rows.append(Row(name, operator, ", ".join(show_value(one, in_list=True) for one in wanted)))
        elif isinstance(wanted, Mapping | list):
            return None
        else:
            rows.append(Row(name, operator, str(wanted) if operator in _TEXTS else show_value(wanted)))
    return rows


def read_value(text: str) -> object:
    """What a value means: a number, true, false or null as they are, text in quotes as text, all else as text."""
    text = text.strip()
    try:
        found = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(found, dict | list) else found


def show_value(value: object, *, in_list: bool = False) -> str:
    """The text that `read_value` reads as the value."""
    if not isinstance(value, str):
        return json.dumps(value)
    needs_quotes = read_value(value) != value or (in_list and (not value or "," in value or '"' in value))
    return json.dumps(value, ensure_ascii=False) if needs_quotes else value


def _split(text: str) -> list[str]:
    """At commas outside of quotes."""
    parts, start, is_quoted, is_escaped = [], 0, False, False
    for place, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif character == "\\" and is_quoted:
            is_escaped = True
        elif character == '"':
            is_quoted = not is_quoted
        elif character == "," and not is_quoted:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]
