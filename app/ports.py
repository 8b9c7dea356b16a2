"""What the rules need from the outside, as protocols and plain values. No driver is named here.

Definitions live in SQL and are reached by blocking calls (an async caller uses a thread); counters live in Redis and are
reached by coroutines. Times are epoch milliseconds, UTC, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# ---------------------------------------------------------------- definitions


@dataclass(frozen=True, slots=True)
class Project:
    """A wall: everything belongs to one. Events name it by `key`, which acts from `created_at` by the broker's clock."""

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


class DefinitionSource(Protocol):
    """What workers read. Blocking; may be repeated; raises StoreUnavailable."""

    def revision(self) -> tuple[int, int]:
        """The catalog revision and the database's clock when it was read."""
        ...

    def history(self) -> DefinitionHistory: ...


# ---------------------------------------------------------------- counters: writing


@dataclass(frozen=True, slots=True)
class Position:
    """One partition of one incarnation of a topic: a recreated topic has another `incarnation`."""

    topic: str
    partition: int
    incarnation: str = ""

    @property
    def name(self) -> str:
        return f"{self.topic}:{self.partition}"


@dataclass(slots=True)
class Accounting:
    """Events by their fate. `received` is the sum of the others; `counted` and part of `duplicate` are found by the store."""

    received: int = 0
    unmatched: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Contribution:
    """What one counted event adds to one owner, once its guards let it through.

    `guards`: seen sets with the hash to remember in each; the contribution counts only if all are new (and none is
    changed unless all are, since a contribution has at most one). `fields` are counters of `owner` that grow by
    `sign`; with `value` (whole, micro) each `n…` field is followed by its `v…` and `u…`.
    """

    counters: tuple[tuple[str, str], ...]
    """(owner, field suffix): `n<suffix>` grows by the event's sign."""
    value: tuple[int, int] | None = None
    """Whole part and millionths, 0 <= millionths < 1,000,000; added to `v<suffix>` and `u<suffix>`."""
    guard: tuple[str, int] | None = None
    """(seen set, 64-bit hash): counts only the first time."""
    then: tuple[Contribution, ...] = ()
    """Counted only when this one counts."""
    sign: int = 1
    last: tuple[str, int] | None = None
    """(owner, occurred at): kept as the greatest."""


@dataclass(slots=True)
class Simple:
    """Events of a batch that differ in nothing but their id: same project, epoch and counters, no guard, no value."""

    project: str
    epoch: int
    counters: tuple[tuple[str, str], ...]
    hashes: list[int] = field(default_factory=list)
    """Of events with an id: counted when the hash is new in the deduplication memory."""
    without_id: int = 0
    last: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Single:
    """One event whose counting depends on what was seen before, in the order of the log."""

    project: str
    epoch: int
    hash: int | None
    contributions: tuple[Contribution, ...]


@dataclass(slots=True)
class Increments:
    """Everything one batch of one partition changes in one stripe; applied whole or not at all."""

    position: Position
    stripe: int
    expected: int
    """The checkpoint must be exactly this."""
    next_offset: int
    watermark: int
    """The greatest broker timestamp below `next_offset`."""
    partition: Accounting = field(default_factory=Accounting)
    projects: dict[str, Accounting] = field(default_factory=dict)
    simple: list[Simple] = field(default_factory=list)
    singles: list[Single] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to an apply: the stored checkpoint, and whether this call moved it there."""

    applied: bool
    checkpoint: int
    counted: int = 0
    duplicate: int = 0


class CounterStore(Protocol):
    """One generation of counters. Coroutines; every call may be repeated; raise StoreUnavailable, GenerationMissing."""

    @property
    def stripes(self) -> int: ...

    async def checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]]:
        """Per position, per stripe: the next offset whose effects are not in the counters yet; 0 where none is stored."""
        ...

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        """Apply the parts of one batch, one atomic call a stripe, in one round trip."""
        ...


# ---------------------------------------------------------------- counters: reading


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters as they were at one moment of each stripe."""

    owners: Sequence[Mapping[str, int]]
    """Per requested owner, the requested fields that exist."""
    fresh_as_of: int | None
    """Complete up to this broker time; None when nothing was ever read."""
    generation: int
    incomplete_since: int | None = None


class CounterReader(Protocol):
    """What the read path needs: one round trip whatever is asked. Raises StoreUnavailable, GenerationMissing."""

    async def read(self, wanted: Sequence[tuple[str, str, Sequence[str]]]) -> Reading:
        """`wanted`: (project, owner, fields). Fields of owners: see fields.py in the domain."""
        ...
