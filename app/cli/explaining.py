"""An explanation in words: which clause failed, what it wanted and what it found."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from app.domain.clause import MISSING, Clause
from app.domain.matching import Explanation

_WIDEST = 80
_FIELDS = frozenset({"eventType", "url", "sessionId", "userId or visitorId"})
_GROUPS = {
    "$and": "not all of its members hold",
    "$or": "none of its members holds",
    "$nor": "one of its members holds",
    "$not": "what it negates holds",
}


def first_failure(explanation: Explanation) -> str:
    """The first clause that does not hold, in words; for a match, that every clause holds."""
    failed = explanation.first_failure()
    return "every clause holds" if failed is None else describe(failed)


def describe(clause: Clause) -> str:
    """One clause in words."""
    if clause.clauses:
        inner = "; ".join(describe(member) for member in clause.clauses[:4])
        said = _GROUPS.get(clause.operator, "its members decide") if not clause.holds else "holds"
        return f"{clause.operator}: {said} ({inner})"
    where = clause.path if clause.path in _FIELDS else f"data.{clause.path}" if clause.path else "data"
    found = "there is none" if clause.found is MISSING or _is_absent(clause) else f"found {_shown(clause.found)}"
    verdict = "holds" if clause.holds else found
    return f"{where} {clause.operator} {_shown(clause.wanted)}: {verdict}"


def as_json(clause: Clause) -> dict[str, Any]:
    """A clause as the API shows it; `found` is left out where there is nothing."""
    shown: dict[str, Any] = {
        "path": clause.path,
        "operator": clause.operator,
        "wanted": clause.wanted,
        "holds": clause.holds,
    }
    if clause.found is not MISSING:
        shown["found"] = clause.found
    if clause.clauses:
        shown["clauses"] = [as_json(member) for member in clause.clauses]
    return shown


def _is_absent(clause: Clause) -> bool:
    return clause.path in _FIELDS and clause.found is None


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=_plain)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
