"""Increments -> the one MessagePack argument of `apply.lua`. Its shape is documented here and nowhere else.

[checkpoint field, expected, next offset, watermark,
 fates of the partition, projects [[key, fates]…], counters [[owner, field]…],
 simple [[project, epoch, [counter…], "hash hash …", events without id,
   [counter of the newest…], newest ms, its hash|false, newest ms without id, "ms ms …" as little-endian doubles, one a
   hash]…],
 parts [[[counted…], [valued…], [seen set, whose]|false, [[seen set, [counter…]]…], conversion goal|false,
   [counter of the newest…]]…],
 singles [[project, epoch, id|false, required id|false, session|false, subject|false, [change…], [variant…]|false,
   occurred at, ms|false]…] (all others hashes),
 experiments false | [[most experiments, most variants], [[id, key, project's key]…], [[experiment, variant]…],
   [[variant, subject|false, ms]…]]]
fates = [received, unmatched, duplicate, {reason: rejected}]
change = [sign, [part…], [value…], [[receipt's id, its body]|false…]|false]
a value is [whole, millionths] or false; whose: 1 the session's, 2 the subject's

Projects, counters, parts, experiments and variants are named by their index from 1; hashes are decimal text: a Lua
number would lose bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import msgpack

from app.domain.experiments import MAX_EXPERIMENTS, MAX_VARIANTS
from app.domain.fields import experiment_id
from app.domain.increments import Accounting, Change, Counter, Exposure, Increments, Part, Simple, Whose


class _Indexes:
    """Numbers each distinct value from 1, in the order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[Counter, int] = {}

    def of(self, counters: Iterable[Counter]) -> list[int]:
        numbers = self.numbers
        return [numbers.setdefault(counter, len(numbers) + 1) for counter in counters]


class _Parts:
    """Packs each distinct part once. Parts are shared by plans, so they are known by their identity."""

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
            self._indexes.of(part.last),
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


def pack(increments: Increments) -> bytes:
    """The argument of one `apply.lua` call."""
    indexes = _Indexes()
    project_index = {key: number for number, key in enumerate(increments.projects, 1)}
    simple = [[project_index[s.project], *_simple(s, indexes)] for s in increments.simple]
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
    packed: bytes = msgpack.packb(
        [
            increments.position.name,
            increments.expected,
            increments.next_offset,
            increments.watermark,
            _fates(increments.partition),
            [(key, _fates(accounting)) for key, accounting in increments.projects.items()],
            list(indexes.numbers),
            simple,
            parts.packed,
            singles,
            experiments.pack(increments.exposures),
        ],
        use_bin_type=False,  # Lua's unpacking knows no other text than this
    )
    return packed


def _simple(one: Simple, indexes: _Indexes) -> list[object]:
    hashes, moments = " ".join(map(str, one.hashes)), struct.pack(f"<{len(one.moments)}d", *one.moments)
    newest = max(one.moments, default=0)
    its_hash = str(one.hashes[one.moments.index(newest)]) if one.moments else False
    return [
        *(one.epoch, indexes.of(one.counters), hashes, one.without_id),
        *(indexes.of(one.last), max(newest, one.newest_without_id), its_hash, one.newest_without_id, moments),
    ]


def _fates(accounting: Accounting) -> tuple[object, ...]:
    return accounting.received, accounting.unmatched, accounting.duplicate, accounting.rejected


def _change(change: Change, parts: _Parts) -> list[object]:
    receipts = [[one.id, one.body.decode()] if one is not None else False for one in change.receipts]
    return [change.sign, parts.of(change.parts), [value or False for value in change.values], receipts or False]


def _text(number: int | None) -> str | bool:
    return False if number is None else str(number)
