"""What the rules need from the outside, as protocols. No driver is named here.

Definitions live in SQL and are reached by blocking calls (an async caller uses a thread); counters live in Redis and
are reached by coroutines. Times are epoch milliseconds, UTC, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from app.domain.beginning import Beginning
from app.domain.catalog import Catalog
from app.domain.folding import DeadLetter
from app.domain.history import DefinitionHistory as DefinitionHistory
from app.domain.history import DefinitionVersion as DefinitionVersion
from app.domain.history import Project as Project
from app.domain.increments import Applied as Applied
from app.domain.increments import Increments as Increments
from app.domain.increments import Position as Position
from app.domain.increments import Receipt as Receipt

if TYPE_CHECKING:
    # A worker, which declares nothing, would be ready later.
    from app.domain.declaring import Step, Work

# ---------------------------------------------------------------- definitions


class DefinitionSource(Protocol):
    """What workers read. Blocking; may be repeated; raises StoreUnavailable."""

    def revision(self) -> tuple[int, int]:
        """The catalog revision, and what DefinitionHistory calls `as_of`."""
        ...

    def history(self, since: int | None = None) -> DefinitionHistory:
        """All definitions; `since` a revision: those of the projects that changed after it."""
        ...


Change: TypeAlias = Callable[[DefinitionVersion], Mapping[str, object]]
"""The present version -> its new body; what it raises undoes the change."""


class DefinitionStore(DefinitionSource, Protocol):
    """Where definitions are kept. Blocking; each change is one transaction; raises StoreUnavailable, NotFound."""

    def projects(self) -> Sequence[Project]: ...

    def project(self, key: str) -> Project: ...

    def current(self, project: str, kind: str | None = None) -> tuple[Project, Sequence[DefinitionVersion]]:
        """The project and its present definitions, in one read."""
        ...

    def get(self, project: str, kind: str, ident: str) -> DefinitionVersion: ...

    def all_versions(self, project: str, kind: str, ident: str) -> Sequence[DefinitionVersion]:
        """Every version of one definition, oldest first."""
        ...

    def create_project(self, key: str, name: str, time_zone: str) -> Project: ...

    def create(
        self, project: str, kind: str, ident: str, body: Mapping[str, object], actor: str
    ) -> DefinitionVersion: ...

    def change(self, project: str, kind: str, ident: str, change: Change, actor: str) -> DefinitionVersion: ...

    def delete(
        self, project: str, kind: str, ident: str, actor: str, check: Change | None = None
    ) -> DefinitionVersion: ...

    def carry_out(self, project: str, steps: Sequence[Step], secrets: Mapping[str, str], actor: str) -> int:
        """All steps or none; returns the catalog revision that has them, 0 when none is of it. `secrets`: of each alert
        that is new, by id."""
        ...

    def rehearse(self, works: Sequence[Work], actor: str) -> None:
        """Raises what carrying all of it out would raise, and changes nothing."""
        ...

    def restore(self, project: Project, earlier: Sequence[DefinitionVersion], actor: str) -> int:
        """A project that does not exist, with every version it ever had; returns the catalog revision."""
        ...


class CatalogSignals(Protocol):
    """What processes tell each other; all of it may be lost. Coroutines; raise StoreUnavailable."""

    async def publish(self, revision: int) -> None:
        """Nudge the workers: there is a new catalog revision."""
        ...

    async def worker_revisions(self) -> Mapping[str, int]:
        """The catalog revision of each worker that lives."""
        ...

    async def workers_out_of_touch(self) -> Sequence[str]:
        """The workers that live, and could not reach the database when they last tried."""
        ...


class CatalogKeeper(Protocol):
    """The catalog that a reader of the log uses."""

    @property
    def current(self) -> Catalog: ...

    async def reach(self, received_at: int) -> None:
        """Return when `current` knows all that acts on records received at or before this moment, or when that cannot
        be known in reasonable time (SQL is away): counting goes on with the last catalog. Raises StoreUnavailable when
        there is none yet."""
        ...


# ---------------------------------------------------------------- counters: writing


class CounterStore(Protocol):
    """One generation of counters. Coroutines that may be repeated; raise StoreUnavailable, GenerationMissing."""

    @property
    def stripes(self) -> int: ...

    @property
    def beginning(self) -> Beginning:
        """Where counting begins: at these offsets stand the checkpoints of a generation, and of a backfill, of which
        nothing was counted yet."""
        ...

    async def checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]]:
        """Per position, per stripe: the next offset that is not counted yet; 0 where none is known."""
        ...

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        """Apply the parts of one batch, one atomic call a stripe and backfill, in one round trip."""
        ...

    async def open_backfills(
        self, stripes: Mapping[str, int], positions: Sequence[Position]
    ) -> Mapping[str, Sequence[int]]:
        """Name of a backfill -> its stripe. Begins those that are new; per name, the checkpoint at each position."""
        ...

    async def note_backfill(self, name: str, stripe: int, state: Mapping[str, int]) -> Mapping[str, int]:
        """Remember how far a backfill is; returns all that is remembered of it."""
        ...


@dataclass(frozen=True, slots=True)
class LeftReceipt:
    """A receipt in a store's outbox: `entry` names it there."""

    stripe: int
    entry: str
    receipt: Receipt


# ---------------------------------------------------------------- counters: reading


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters as they were at one moment of each stripe."""

    owners: Iterable[Mapping[str, int]]
    """Per requested owner, the requested fields that exist; each is worked out when it is reached. May be repeated."""
    fresh_as_of: int | None
    """Complete up to this broker time; None when nothing was ever read."""
    generation: int
    rebuilding: bool = False
    """The generation has not yet counted all that the log held when it was created: its figures are too low."""
    lost_at: Sequence[int] = ()
    """The earliest first: events received at or before this moment were lost before they could be counted, or were
    left out, since the generation begins later."""
    mark: object = None
    """See CounterReader.mark. Never newer than the counters."""


class Known(NamedTuple):
    """What a reader remembers of an owner: as long as `fields`, less the last of them, still make `rest`, these fields
    are given and no others."""

    fields: Sequence[str]
    rest: int

    def still_holds(self, found: Mapping[str, int]) -> bool:
        return rest_of(self.fields, found) == self.rest


def rest_of(names: Sequence[str], found: Mapping[str, int]) -> int:
    """The sum of the fields but the last, less that."""
    *parts, last = names
    return sum(found.get(name, 0) for name in parts) - found.get(last, 0)


class Wanted(NamedTuple):
    """What is asked of one owner. Fields of owners: see fields.py in the domain."""

    project: str
    owner: str
    fields: Sequence[str]
    """`("*",)` stands for all."""
    known: Known | None = None

    def of(self, own: Mapping[str, int]) -> Mapping[str, int]:
        """What is given of an owner that has these counters."""
        if tuple(self.fields) == ("*",):
            return dict(own)
        holds = self.known is not None and self.known.still_holds(own)
        names = self.known.fields if self.known is not None and holds else self.fields
        return {name: own[name] for name in names if name in own}


class CounterReader(Protocol):
    """What the read path needs: one round trip whatever is asked. Raises StoreUnavailable, GenerationMissing."""

    async def read(self, wanted: Sequence[Wanted]) -> Reading:
        """What is there of it. Of one project, if the mark is needed."""
        ...

    async def mark(self, project: str) -> object:
        """Cheap: what differs once anything moved that `read` gives of the project, backfills aside. While it is that
        of an earlier reading, reading again would give the same."""
        ...


# ---------------------------------------------------------------- dead letters


@dataclass(frozen=True, slots=True)
class Which:
    """Which dead letters are meant; None leaves a side open."""

    reason: str | None = None
    projects: frozenset[str] | None = None
    """An empty name stands for the letters that name no project."""
    since: int | None = None
    """Received at or after this moment; epoch ms."""
    idents: frozenset[str] | None = None


class DeadLetters(Protocol):
    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        """Returns when all are written for good; may be repeated. Raises StoreUnavailable."""
        ...
