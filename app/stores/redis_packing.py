"""Increments -> the one MessagePack argument of `apply.lua`. Its shape is documented here and nowhere else.

[checkpoint field, expected, next offset, watermark,
 partition accounting [[field, n]…], projects [[key, [[field, n]…]]…], counters [[owner, field]…],
 simple [[project, epoch, [counter…], "hash hash …", events without id]…],
 singles [[project, epoch, hash|false, required hash|false, [contribution…], is exposure]…],
 last [[owner, ms]…]]
contribution = [[counter…], sign, [whole, micro]|false, [seen set, hash]|false, [contribution…]]

Projects and counters are named by their index from 1; hashes are decimal text, since a Lua number would lose bits.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgpack

from app.domain.increments import Contribution, Counter, Increments
from app.stores.memory import accounting_fields


class _Indexes:
    """Numbers each distinct value from 1, in the order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[Counter, int] = {}

    def of(self, counters: Iterable[Counter]) -> list[int]:
        numbers = self.numbers
        return [numbers.setdefault(counter, len(numbers) + 1) for counter in counters]


def pack(increments: Increments) -> bytes:
    """The argument of one `apply.lua` call."""
    indexes = _Indexes()
    project_index = {key: number for number, key in enumerate(increments.projects, 1)}
    simple = [
        [project_index[s.project], s.epoch, indexes.of(s.counters), " ".join(map(str, s.hashes)), s.without_id]
        for s in increments.simple
    ]
    singles = [
        [
            project_index[s.project],
            s.epoch,
            False if s.hash is None else str(s.hash),
            False if s.requires is None else str(s.requires),
            [_contribution(c, indexes) for c in s.contributions],
            s.is_exposure,
        ]
        for s in increments.singles
    ]
    packed: bytes = msgpack.packb(
        [
            increments.position.name,
            increments.expected,
            increments.next_offset,
            increments.watermark,
            accounting_fields(increments.partition),
            [[key, accounting_fields(accounting)] for key, accounting in increments.projects.items()],
            list(indexes.numbers),
            simple,
            singles,
            list(increments.last.items()),
        ]
    )
    return packed


def _contribution(contribution: Contribution, indexes: _Indexes) -> list[object]:
    guard = contribution.guard
    return [
        indexes.of(contribution.counters),
        contribution.sign,
        list(contribution.value) if contribution.value is not None else False,
        [guard[0], str(guard[1])] if guard is not None else False,
        [_contribution(after, indexes) for after in contribution.then],
    ]
