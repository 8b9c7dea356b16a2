"""What definitions refer to by id: goals to conversion goals, alerts to goals. Pure.

An id that nothing has is told and not refused: it may come later, or be gone for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


def not_found(kind: str, body: Mapping[str, object], known: Collection[str]) -> tuple[str, ...]:
    """A sentence for each id in the body that is not `known`, the present ids of the kind that it refers to."""
    field, wanted_kind = REFERENCES[kind]
    wanted = body.get(field)
    missing = [ident for ident in wanted if ident not in known] if isinstance(wanted, list) else []
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
    told = []
    for ident, (kind, body) in left.items():
        if kind in REFERENCES:
            known = [other for other, (other_kind, _) in left.items() if other_kind == REFERENCES[kind][1]]
            told += [f"{kind} {body.get('name') or ident!r}: {one}" for one in not_found(kind, body, known)]
    return told


def _hint(ident: object, known: Collection[str]) -> str:
    nearest = get_close_matches(str(ident)[:MAX_TEXT], known, n=1) if len(known) <= _MOST_COMPARED else []
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
