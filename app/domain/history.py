"""What was defined, and when it acts: with it, reading the log again gives the same counts. Plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

EFFECTIVE_LEAD_MS: Final = 150
"""How long after the database's clock in its transaction a version begins to act."""
TRUSTED_MS: Final = 75
"""How long a catalog is trusted after the database's clock when it was read.

A version that was committed at the latest TRUSTED_MS before it acts was seen by whoever counts records that it acts on,
so that counting live and reading again decide the same. After a later commit it begins later; until its writer has
settled that, nobody counts beyond its beginning."""
SETTLED_MS: Final = 500
"""How long after a version's beginning others wait for its writer to settle when it begins, before they do it."""


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
    """All that ever acted, at one catalog revision, read in one transaction; or all of it that changed (`changed`)."""

    revision: int
    as_of: int
    """The database's clock when it was read, or earlier. A version that is committed, or moved, later acts on no record
    received before `as_of` + TRUSTED_MS."""
    projects: Sequence[Project]
    versions: Sequence[DefinitionVersion]
    changed: Collection[str] | None = None
    """The keys of the projects whose versions these are: all of theirs; of the others nothing changed since a revision
    that was named. None: these are all there are."""
