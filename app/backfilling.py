"""Which backfills a reader of the log counts beside everything, and which of them are behind and have to be filled.

A backfill has a checkpoint of its own at each position, and its counters are f(events below it), always. Where that
checkpoint is not below the one from which the position is read, the backfill has *joined*: it is folded and applied
with each batch. Else it is *behind*, and `filling.py` reads the part of the log between the two. Whatever dies, the
checkpoints say what is to be done; whoever does it, or does it again, moves them by compare-and-set.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.catalog import Catalog
from app.domain.folding import Folder, Record
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Applied, Increments, Position
from app.ports import CounterStore

MAX_TRAIL = 20_000
"""Offsets by which a backfill's stored checkpoint may trail where nothing of it lies between: a call less a batch."""


@dataclass(slots=True)
class _Of:
    """What is known of one position: name -> stored checkpoint."""

    joined: dict[str, int] = field(default_factory=dict)
    behind: dict[str, int] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)
    """Those that joined, and of which that is remembered in the store."""


class Backfills:
    """Of one tracker. Not thread-safe; a position's batches and its joining wait for each other at `lock`."""

    def __init__(self) -> None:
        self._of: dict[Position, _Of] = {}
        self._locks: dict[Position, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, position: Position) -> asyncio.Lock:
        return self._locks[position]

    def forget(self, position: Position | None = None) -> None:
        """The store is asked again for the checkpoints of this position, or of all."""
        if position is None:
            self._of.clear()
        else:
            self._of.pop(position, None)

    async def meet(
        self, position: Position, catalog: Catalog, store: CounterStore, rules: FoldingRules, read_from: int
    ) -> None:
        """Know the catalog's backfills at this position, which is read from `read_from` on."""
        own = self._of.get(position)
        if own is None:
            own = self._of[position] = _Of()
        known = {*own.joined, *own.behind}
        if known == catalog.backfills.keys():
            return
        for name in known - catalog.backfills.keys():
            own.joined.pop(name, None)
            own.behind.pop(name, None)
        new = [backfill for name, backfill in catalog.backfills.items() if name not in known]
        stripes = {backfill.name: rules.stripe_of(backfill.project) for backfill in new}
        for name, (checkpoint,) in (await store.open_backfills(stripes, [position])).items():
            (own.joined if checkpoint >= read_from else own.behind)[name] = checkpoint

    def joined(self, position: Position) -> dict[str, int]:
        own = self._of.get(position)
        return own.joined if own is not None else {}

    def known(self, position: Position) -> dict[str, int]:
        """Those that joined, and those that are behind."""
        own = self._of.get(position)
        return {**own.joined, **own.behind} if own is not None else {}

    def behind(self) -> Mapping[Position, Mapping[str, int]]:
        return {position: own.behind for position, own in self._of.items() if own.behind}

    def adopt(self, position: Position, increments: Increments, applied: Applied) -> None:
        """The answer of the store to what was applied of a backfill that had joined."""
        own = self._of.get(position)
        if own is None or increments.backfill not in own.joined:
            return
        if applied.checkpoint >= increments.next_offset:
            own.joined[increments.backfill] = applied.checkpoint
        else:
            del own.joined[increments.backfill]
            own.behind[increments.backfill] = applied.checkpoint

    def advance(self, position: Position, name: str, checkpoint: int) -> None:
        """The checkpoint of one that is behind has moved."""
        own = self._of.get(position)
        if own is not None and name in own.behind:
            own.behind[name] = checkpoint

    def join(self, position: Position, read_from: int) -> None:
        """Count from now on with the position's batches what has caught up. The caller holds the lock."""
        own = self._of.get(position)
        if own is None:
            return
        for name in [name for name, checkpoint in own.behind.items() if checkpoint >= read_from]:
            own.joined[name] = own.behind.pop(name)

    def to_note(self) -> list[tuple[Position, str]]:
        """Which joined since the last call of `note`."""
        return [(position, name) for position, own in self._of.items() for name in own.joined if name not in own.noted]

    def note(self, position: Position, name: str) -> None:
        if position in self._of:
            self._of[position].noted.add(name)


def present(catalog: Catalog, backfills: Mapping[str, int]) -> Mapping[str, int]:
    """Those that have not ended by this catalog: while a store was asked for them, another one may have come."""
    return {name: at for name, at in backfills.items() if name in catalog.backfills}


def is_worth_a_call(increments: Increments) -> bool:
    """Whether the checkpoint of a backfill has to be moved now."""
    moved = increments.next_offset - increments.expected
    return bool(increments.simple or increments.singles or moved >= MAX_TRAIL)


def fold_backfills(
    folder: Folder,
    position: Position,
    records: Sequence[Record],
    next_offset: int,
    checkpoints: Mapping[str, int],
    watermark: int,
) -> list[Increments]:
    """The increments of these backfills alone: of the records from their checkpoints, which are below `next_offset`."""
    if not checkpoints:
        return []
    whole = [next_offset] * folder.rules.stripes
    increments, _ = folder.fold(position, records, whole, next_offset, watermark, checkpoints)
    return increments[len(whole) :]
