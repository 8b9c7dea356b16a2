"""Increments -> the MessagePack arguments of `apply.lua`. Their shape is documented here and nowhere else.

The batch:
[checkpoint field, expected, next offset, watermark,
 fates of the partition,
 projects [[key…], [received…], [unmatched…], [duplicate…], {project: {reason: rejected}}],
 counters [[owner, field]…] of the parts,
 simple [[project, epoch, "hash hash …", events without id, newest ms, its hash|false, newest ms without id,
   "ms ms …" as little-endian doubles, one a hash; of a single hash neither it nor them]…],
 parts [[[counted…], [valued…], [seen set, whose]|false, [[seen set, [counter…]]…], conversion goal|false,
   [owner of a newest moment…]]…],
 singles [[project, epoch, id|false, required id|false, session|false, subject|false, [change…], [variant…]|false,
   occurred at, ms|false]…] (all others hashes),
 experiments false | [[most experiments, most variants], [[id, key, project's key]…], [[experiment, variant]…],
   [[variant, subject|false, ms]…]]]
fates = [received, unmatched, duplicate, {reason: rejected}]
change = [sign, [part…], [value…], [[receipt's id, its body]|false…]|false]
a value is [whole, millionths] or false; whose: 1 the session's, 2 the subject's

What the simple ones move, in their order: [[[owner, field, owner, field…], [owner of a newest moment…]]…]. An argument
of its own, since it is put together from what was packed before.

Projects, counters, parts, experiments and variants are named by their index from 1; hashes are decimal text: a Lua
number would lose bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import chain, count
from operator import attrgetter
from typing import Final

import msgpack

from app.domain.experiments import MAX_EXPERIMENTS, MAX_VARIANTS
from app.domain.fields import experiment_id
from app.domain.increments import Accounting, Change, Counter, Exposure, Increments, Part, Simple, Whose

MOST_MOVES: Final = 20_000
"""As many as the folder keeps ways (MOST_WAYS): each has an effect with counters of its own."""


class _Indexes:
    """Numbers each distinct value from 1, in the order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[Counter, int] = {}

    def of(self, counters: Iterable[Counter]) -> list[int]:
        numbers = self.numbers
        return [numbers.setdefault(counter, len(numbers) + 1) for counter in counters]


class _Parts:
    """Packs each distinct part once. Parts are shared by effects, so they are known by their identity."""

    def __init__(self, indexes: _Indexes) -> None:
        self._indexes = indexes
        self._of: dict[int, list[int]] = {}
        self._kept: list[tuple[Part, ...]] = []
        self.packed: list[list[object]] = []

    def of(self, parts: tuple[Part, ...]) -> list[int]:
        known = self._of.get(id(parts))
        if known is None:
            first = len(self.packed) + 1
            self.packed.extend(self._pack(part) for part in parts)
            known = self._of[id(parts)] = list(range(first, len(self.packed) + 1))
            self._kept.append(parts)
        return known

    def _pack(self, part: Part) -> list[object]:
        guard = part.guard
        return [
            self._indexes.of(part.counted),
            self._indexes.of(part.valued),
            [guard[0], 1 if guard[1] is Whose.SESSION else 2] if guard is not None else False,
            [[seen_set, self._indexes.of(counters)] for seen_set, counters in part.uniques],
            part.conversion_goal or False,
            part.last,
        ]


class _Experiments:
    """Numbers each experiment and each variant of one from 1, in the order of first use."""

    def __init__(self) -> None:
        self._experiments: dict[tuple[str, str], int] = {}
        self._variants: dict[tuple[int, str], int] = {}

    def of(self, project: str, experiment: str, variant: str) -> int:
        number = self._experiments.setdefault((project, experiment), len(self._experiments) + 1)
        return self._variants.setdefault((number, variant), len(self._variants) + 1)

    def pack(self, exposures: Mapping[Exposure, int]) -> list[object] | bool:
        seen = [[self.of(e.project, e.experiment, e.variant), _text(e.subject), at] for e, at in exposures.items()]
        if not self._variants:
            return False
        named = [[experiment_id(project, key), key, project] for project, key in self._experiments]
        return [[MAX_EXPERIMENTS, MAX_VARIANTS], named, [list(variant) for variant in self._variants], seen]


class Packer:
    """Packs increments, and remembers what it made of the counters of an effect. Not for several threads."""

    def __init__(self) -> None:
        self._packer = msgpack.Packer(use_bin_type=False)  # Lua's unpacking knows no other text than this
        self._moves: dict[int, tuple[tuple[Counter, ...], tuple[str, ...], bytes]] = {}
        """By the identity of the counters, which are kept alive for it."""

    def pack(self, increments: Increments) -> tuple[bytes, bytes]:
        """The arguments of one `apply.lua` call: the batch, and what its simple ones move."""
        indexes = _Indexes()
        project_index = dict(zip(increments.projects, count(1)))
        parts = _Parts(indexes)
        experiments = _Experiments()
        singles = [
            [
                project_index[s.project],
                s.epoch,
                _text(s.hash),
                _text(s.requires),
                _text(s.session),
                _text(s.subject),
                [_change(c, parts) for c in s.changes],
                [experiments.of(s.project, *assignment) for assignment in s.assignments] or False,
                s.occurred_at or False,
            ]
            for s in increments.singles
        ]
        batch: bytes = self._packer.pack(
            [
                increments.position.name,
                increments.expected,
                increments.next_offset,
                increments.watermark,
                _fates(increments.partition),
                _projects(increments.projects),
                list(indexes.numbers),
                [(project_index[s.project], s.epoch, *_simple(s)) for s in increments.simple],
                parts.packed,
                singles,
                experiments.pack(increments.exposures),
            ]
        )
        moves = [self._pack_moves(s.counters, s.last) for s in increments.simple]
        return batch, b"".join((self._packer.pack_array_header(len(moves)), *moves))

    def _pack_moves(self, counters: tuple[Counter, ...], last: tuple[str, ...]) -> bytes:
        known = self._moves.get(id(counters))
        if known is not None and known[1] is last:
            return known[2]
        packed: bytes = self._packer.pack((list(chain.from_iterable(counters)), last))
        if len(self._moves) >= MOST_MOVES:
            self._moves.clear()
        self._moves[id(counters)] = counters, last, packed
        return packed


def _simple(one: Simple) -> tuple[object, ...]:
    hashes, moments = one.hashes, one.moments
    if len(hashes) == 1:
        newest = max(moments[0], one.newest_without_id)
        return str(hashes[0]), one.without_id, newest, False, one.newest_without_id, b""
    newest = max(moments, default=0)
    its_hash = str(hashes[moments.index(newest)]) if moments else False
    return (
        *(" ".join(map(str, hashes)), one.without_id, max(newest, one.newest_without_id), its_hash),
        *(one.newest_without_id, struct.pack(f"<{len(moments)}d", *moments)),
    )


def _projects(projects: Mapping[str, Accounting]) -> tuple[object, ...]:
    all_fates = projects.values()
    columns = (list(map(attrgetter(name), all_fates)) for name in ("received", "unmatched", "duplicate"))
    rejected = {number: fates.rejected for number, fates in enumerate(all_fates, 1) if fates.rejected}
    return list(projects), *columns, rejected


def _fates(accounting: Accounting) -> tuple[object, ...]:
    return accounting.received, accounting.unmatched, accounting.duplicate, accounting.rejected


def _change(change: Change, parts: _Parts) -> list[object]:
    receipts = [[one.id, one.body.decode()] if one is not None else False for one in change.receipts]
    return [change.sign, parts.of(change.parts), [value or False for value in change.values], receipts or False]


def _text(number: int | None) -> str | bool:
    return False if number is None else str(number)
