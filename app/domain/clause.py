"""A clause: one requirement of a definition, what it wanted, what it found and whether it held.

Lives here: the words in which every matcher explains itself. Never: a rule, or a rendering for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class _Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING
"""What was found where the event has nothing at all; a JSON null that is there is `None`."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement held against one event.

    `path` names where (a dotted path of the event's data, or a field of the event), `operator` how (`equals` for the
    short form, else the operator as written), `wanted` is the operand as written and `found` the event's value or
    MISSING. A group (`$and`, `$or`, `$nor`, `$not`) has an empty path, finds MISSING, and lists its members in
    `clauses`, whose own `holds` are those of the members, before the group negates or joins them.
    """

    path: str
    operator: str
    wanted: object
    found: object
    holds: bool
    clauses: tuple[Clause, ...] = ()
