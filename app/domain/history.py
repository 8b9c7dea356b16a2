"""What was defined, and when it acts: with it, reading the log again gives the same counts. Plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

EFFECTIVE_LEAD_MS: Final = 150
"""How long after the database's clock at its commit a version begins to act.

Who has read the catalog at moment t therefore knows all that acts on records received before t + lead: counting live
and reading again decide the same."""


@dataclass(frozen=True, slots=True)
class Project:
    """A wall: everything belongs to one. Events name it by `key`; it acts from `created_at` by the broker's clock."""

    key: str
    name: str
    time_zone: str
    created_at: int


@dataclass(frozen=True, slots=True)
class DefinitionVersion:
    """One version of a conversion goal or a goal: its body in the API's field names, and when it acts (broker time)."""

    kind: str
    """`conversion_goal` or `goal`."""
    id: str
    project: str
    revision: int
    effective_from: int
    effective_until: int
    created_at: int
    """When the definition (not this version) was created."""
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DefinitionHistory:
    """All that ever acted, at one catalog revision, read in one transaction."""

    revision: int
    as_of: int
    """The database's clock when it was read. A version that is committed later acts from a later time than
    `as_of + lead` (see EFFECTIVE_LEAD_MS in defining.py)."""
    projects: Sequence[Project]
    versions: Sequence[DefinitionVersion]
