"""What definitions refer to by id: goals to conversion goals, alerts to goals. Pure.

An id that nothing has is told and not refused: it may come later, or be gone for a while.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Final

from app.domain.declaring import ALERT, CONVERSION_GOAL, GOAL, Plan
from app.domain.definition_fields import MAX_TEXT
from app.domain.history import DefinitionVersion

REFERENCES: Final = {GOAL: ("conversionGoalIds", CONVERSION_GOAL), ALERT: ("goalIds", GOAL)}
"""Kind -> the field that holds ids, and the kind of what has them."""

_MOST: Final = 100
_HINTS: Final = 3
_MOST_COMPARED: Final = 500
"""Likeness is dear, and whoever asks waits."""


def not_found(kind: str, body: Mapping[str, object], known: AbstractSet[str]) -> tuple[str, ...]:
    """A sentence for each id in the body that is not `known`, the present ids of the kind that it refers to.

    The body may be one that is refused: what is no id in it is passed over.
    """
    field, wanted_kind = REFERENCES[kind]
    wanted = body.get(field)
    given = wanted if isinstance(wanted, list) else []
    missing = [ident for ident in given if isinstance(ident, str) and ident not in known]
    return tuple(
        f"No {wanted_kind.replace('_', ' ')} has the id {ident!r} (yet)." + (_hint(ident, known) if at < _HINTS else "")
        for at, ident in enumerate(missing[:_MOST])
    )


def not_found_after(plan: Plan, present: Collection[DefinitionVersion]) -> list[str]:
    """The same of all that there is once the plan is carried out, each sentence with whose it is."""
    left = {version.id: (version.kind, version.body) for version in present}
    for step in plan.steps:
        if step.action == "delete":
            left.pop(step.id, None)
        else:
            left[step.id] = (step.kind, step.after)
    known = defaultdict[str, set[str]](set)
    for ident, (kind, _) in left.items():
        known[kind].add(ident)
    return [
        f"{kind} {body.get('name') or ident!r}: {one}"
        for ident, (kind, body) in left.items()
        if kind in REFERENCES
        for one in not_found(kind, body, known[REFERENCES[kind][1]])
    ]


def _hint(ident: str, known: AbstractSet[str]) -> str:
    nearest = get_close_matches(ident[:MAX_TEXT], known, n=1) if len(known) <= _MOST_COMPARED else []
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
