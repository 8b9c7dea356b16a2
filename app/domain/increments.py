"""What one batch changes: plain values between the fold (pure) and the stores (which apply all of it or nothing).

Those of which a batch has thousands are structs of msgspec's: see event.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import TypeAlias

import msgspec

Counter: TypeAlias = tuple[str, str]
"""(owner, field), named as in fields.py."""


@dataclass(frozen=True, slots=True)
class Position:
    """One partition of one incarnation of a topic: a recreated topic has another `incarnation`."""

    topic: str
    partition: int
    incarnation: str = ""

    @property
    def name(self) -> str:
        return f"{self.topic}:{self.partition}:{self.incarnation}"


class Accounting(msgspec.Struct, gc=False):
    """Events by their fate, as far as it is known before the store has spoken.

    The store adds `counted` and the rest of `duplicate`, so that received = counted + unmatched + duplicate + rejected.
    """

    received: int = 0
    unmatched: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = msgspec.field(default_factory=dict)

    def add_all(self, others: Collection[Accounting]) -> None:
        """Grow by the others' numbers."""
        self.received += sum(map(_received, others))
        self.unmatched += sum(map(_unmatched, others))
        self.duplicate += sum(map(_duplicate, others))
        for rejected in filter(None, map(_rejected, others)):
            for reason, number in rejected.items():
                self.rejected[reason] = self.rejected.get(reason, 0) + number


_received, _unmatched, _duplicate, _rejected = map(attrgetter, ("received", "unmatched", "duplicate", "rejected"))


class Whose(StrEnum):
    """Whose first time a guard asks for."""

    SESSION = "session"
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True)
class Part:
    """What one matched conversion goal moves; the same for many events, so that it is packed once a batch."""

    counted: tuple[Counter, ...]
    """Each grows by the sign."""
    valued: tuple[Counter, ...] = ()
    """Each `n<suffix>` grows by the sign, its `v<suffix>` and `u<suffix>` by the event's value where it has one."""
    guard: tuple[str, Whose] | None = None
    """(seen set, whose): the part counts only the first time."""
    uniques: tuple[tuple[str, tuple[Counter, ...]], ...] = ()
    """(seen set, counters): where the part counts, these grow the first time that the subject is seen in the set."""
    conversion_goal: str = ""
    """Where the part counts, it is a conversion of this conversion goal: it counts for the experiments of its event,
    and has a receipt. Empty: it only moves counters."""
    metric: str = ""
    revision: int = 0
    """The catalog revision that brought the conversion goal's version."""
    goals: tuple[str, ...] = ()
    """The goals that the conversion counts for."""
    last: tuple[str, ...] = ()
    """Owners; where the part counts, their `last` becomes the moment of the event, unless it is later."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is written out where a part counts: its id, and the message's value."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What one counted event adds: its parts, and per part its value (whole, millionths) or None."""

    parts: tuple[Part, ...]
    values: tuple[tuple[int, int] | None, ...]
    sign: int = 1
    receipts: tuple[Receipt | None, ...] = ()
    """One a part; none at all where nobody asks for receipts."""


Assignment: TypeAlias = tuple[str, str]
"""(experiment, variant)"""


@dataclass(frozen=True, slots=True)
class Exposure:
    """A subject saw a variant. Of several sightings the earliest decides, and of equal ones the variant's name, so that
    the partitions may be counted in any order. Without a subject the variant is known to exist, and nobody exposed."""

    project: str
    experiment: str
    variant: str
    subject: int | None


class Simple(msgspec.Struct, gc=False):
    """Events that differ in nothing but their id: same project, epoch and counters; no guard, no value. A store applies
    them before all singles: the order of these events decides nothing."""

    project: str
    epoch: int
    counters: tuple[Counter, ...]
    """The same object wherever the same effect is meant, as `last` is."""
    hashes: list[int] = msgspec.field(default_factory=list)
    """Of events with an id, all different: each counts when its hash is new in the deduplication memory."""
    without_id: int = 0
    last: tuple[str, ...] = ()
    """Owners. Their `last` becomes the moment at which the newest event that counts occurred, unless it is later; epoch
    ms."""
    moments: list[int] = msgspec.field(default_factory=list)
    """When the event of each hash occurred."""
    newest_without_id: int = 0


@dataclass(slots=True)
class Single:
    """One event whose counting depends on what was seen before; applied in the order of the log."""

    project: str
    epoch: int
    hash: int | None
    """Counts only when this id is new; None always counts."""
    session: int | None
    subject: int | None
    """64-bit signed hashes of who it was, for the guards."""
    changes: tuple[Change, ...]
    requires: int | None = None
    """Counts only when this id was counted before (corrections)."""
    assignments: tuple[Assignment, ...] = ()
    """What it counts for in experiments, under the variant that its subject saw first."""
    occurred_at: int | None = None
    """Epoch ms. None for corrections: they are no conversions of their own."""


@dataclass(slots=True)
class Increments:
    """Everything one batch of one partition changes in one stripe."""

    position: Position
    stripe: int
    expected: int
    """The stored checkpoint must be exactly this."""
    next_offset: int
    watermark: int
    """The greatest broker timestamp below `next_offset`, epoch ms."""
    partition: Accounting = field(default_factory=Accounting)
    projects: dict[str, Accounting] = field(default_factory=dict)
    simple: list[Simple] = field(default_factory=list)
    singles: list[Single] = field(default_factory=list)
    exposures: dict[Exposure, int] = field(default_factory=dict)
    """When each was seen, by the broker's clock, epoch ms."""
    backfill: str = ""
    """The backfill whose own counting this changes; empty for the counting of everything."""
    landmarks: dict[str, int] = field(default_factory=dict)
    """Project -> the offset of its first event in the batch. No counter depends on it: it is where readers look."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to an apply: whether it was done, and the checkpoint that is stored now."""

    applied: bool
    checkpoint: int
    counted: int = 0
    duplicate: int = 0
