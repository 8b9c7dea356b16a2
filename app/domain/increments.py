"""What one batch changes: plain values between the fold (pure) and the stores (which apply all of it or nothing)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

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


@dataclass(slots=True)
class Accounting:
    """Events by their fate, as far as it is known before the store has spoken.

    The store adds `counted` and the rest of `duplicate`, so that received = counted + unmatched + duplicate + rejected.
    """

    received: int = 0
    unmatched: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one counted event adds. With a guard it counts only the first time; `then` only when this one counts."""

    counters: tuple[Counter, ...]
    """Each grows by `sign`."""
    value: tuple[int, int] | None = None
    """Whole part and millionths (0 <= millionths < 1,000,000): with it, each counter `n<suffix>` is followed by its
    `v<suffix>` and `u<suffix>`."""
    guard: tuple[str, int] | None = None
    """(seen set, 64-bit signed hash)."""
    then: tuple[Contribution, ...] = ()
    sign: int = 1


@dataclass(slots=True)
class Simple:
    """Events that differ in nothing but their id: same project, epoch and counters; no guard, no value."""

    project: str
    epoch: int
    counters: tuple[Counter, ...]
    hashes: list[int] = field(default_factory=list)
    """Of events with an id: each counts when its hash is new in the deduplication memory."""
    without_id: int = 0


@dataclass(slots=True)
class Single:
    """One event whose counting depends on what was seen before; applied in the order of the log."""

    project: str
    epoch: int
    hash: int | None
    contributions: tuple[Contribution, ...]
    requires: int | None = None
    """Counts only when this id was counted before (corrections)."""
    is_exposure: bool = False
    """Not a conversion: marks an experiment's subject and leaves the accounting alone."""


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
    last: dict[str, int] = field(default_factory=dict)
    """Owner -> greatest occurred-at of the events that matched, epoch ms."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to an apply: whether it was done, and the checkpoint that is stored now."""

    applied: bool
    checkpoint: int
    counted: int = 0
    duplicate: int = 0
