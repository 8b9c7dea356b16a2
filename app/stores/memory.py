"""Counters in memory: the twin of the Redis store, held to the same contract tests. `verify` recounts into it.

Nothing here is shared between processes, and nothing outlives the object.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Final

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.fields import LAST, in_backfill
from app.domain.increments import Accounting, Applied, Change, Increments, Position, Single, Whose
from app.ports import LeftReceipt, Reading, Receipt, Wanted
from app.stores.memory_experiments import MemoryExperiments

_GENERATION: Final = 1
"""Nothing tells one object's from another's: there is one."""


class _Stripe:
    """One stripe: what `apply.lua` does, in Python."""

    def __init__(self, beginning: Beginning) -> None:
        self.checkpoints: dict[str, int] = dict(beginning.offsets)
        self.watermarks: dict[str, int] = {}
        self.counters: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.seen: dict[str, set[int]] = defaultdict(set)
        self.accounting: dict[str, int] = defaultdict(int)
        self.projects: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.experiments = MemoryExperiments(self.counters, self._is_added)
        self.outboxes: dict[str, dict[str, Receipt]] = defaultdict(dict)
        self._entries = 0

    def apply(self, increments: Increments) -> Applied:
        name = increments.position.name
        stored = self.checkpoints.get(name, 0)
        if stored != increments.expected:
            return Applied(applied=False, checkpoint=stored)
        counted: dict[str, int] = defaultdict(int)
        duplicate: dict[str, int] = defaultdict(int)
        for exposure, at in increments.exposures.items():
            self.experiments.expose(exposure, at)
        for simple in increments.simple:
            is_first = [self._is_first(simple.epoch, member) for member in simple.hashes]
            firsts = sum(is_first)
            duplicate[simple.project] += len(simple.hashes) - firsts
            counted[simple.project] += firsts + simple.without_id
            for owner, field in simple.counters:
                self.counters[owner][field] += firsts + simple.without_id
            if firsts + simple.without_id:
                self._move_last(simple.last, max(simple.newest_without_id, *compress(simple.moments, is_first), 0))
        for single in increments.singles:
            missing = single.requires is not None and not self._is_remembered(single.epoch, single.requires)
            if missing or (single.hash is not None and not self._is_first(single.epoch, single.hash)):
                duplicate[single.project] += 1
                continue
            counted[single.project] += 1
            for change in single.changes:
                self._change(single, change, self.outboxes[name])
        self._account(increments, counted, duplicate)
        self.checkpoints[name] = increments.next_offset
        self.watermarks[name] = increments.watermark
        return Applied(True, increments.next_offset, sum(counted.values()), sum(duplicate.values()))

    def _is_remembered(self, epoch: int, member: int) -> bool:
        return member in self.seen[f"d:{epoch}"] or member in self.seen[f"d:{epoch - 1}"]

    def _is_first(self, epoch: int, member: int) -> bool:
        return (
            member not in self.seen[f"d:{epoch - 1}"]
            and member not in self.seen[f"d:{epoch + 1}"]
            and self._is_added(f"d:{epoch}", member)
        )

    def _is_added(self, seen_set: str, member: int) -> bool:
        members = self.seen[seen_set]
        if member in members:
            return False
        members.add(member)
        return True

    def _change(self, single: Single, change: Change, outbox: dict[str, Receipt]) -> None:
        for place, (part, value) in enumerate(zip(change.parts, change.values, strict=True)):
            if part.conversion_goal:
                self.experiments.count(single, part, value, change.sign)
            if part.guard is not None:
                seen_set, whose = part.guard
                who = single.session if whose is Whose.SESSION else single.subject
                if who is None or not self._is_added(seen_set, who):
                    continue
            receipt = change.receipts[place] if change.receipts else None
            if receipt is not None:
                self._entries += 1
                outbox[str(self._entries)] = receipt
            self._move_last(part.last, single.occurred_at)
            for owner, field in part.counted:
                self.counters[owner][field] += change.sign
            for owner, field in part.valued:
                self.counters[owner][field] += change.sign
                if value is not None:
                    self.counters[owner]["v" + field[1:]] += change.sign * value[0]
                    self.counters[owner]["u" + field[1:]] += change.sign * value[1]
            for seen_set, counters in part.uniques:
                if single.subject is not None and self._is_added(seen_set, single.subject):
                    for owner, field in counters:
                        self.counters[owner][field] += change.sign

    def _move_last(self, owners: Iterable[str], at: int | None) -> None:
        if at is None:
            return
        for owner in owners:
            own = self.counters[owner]
            own[LAST] = max(own[LAST], at)

    def _account(self, increments: Increments, counted: Mapping[str, int], duplicate: Mapping[str, int]) -> None:
        name = increments.position.name
        for field, number in accounting_fields(increments.partition):
            self.accounting[f"{name}|{field}"] += number
        self.accounting[f"{name}|counted"] += sum(counted.values())
        self.accounting[f"{name}|duplicate"] += sum(duplicate.values())
        for project, accounting in increments.projects.items():
            for field, number in accounting_fields(accounting):
                self.projects[project][field] += number
            self.projects[project]["counted"] += counted[project]
            self.projects[project]["duplicate"] += duplicate[project]


def accounting_fields(accounting: Accounting) -> list[tuple[str, int]]:
    """The accounting as (field, number), without zeros: received, unmatched, duplicate, rejected:<reason>."""
    pairs = [
        ("received", accounting.received),
        ("unmatched", accounting.unmatched),
        ("duplicate", accounting.duplicate),
        *((f"rejected:{reason}", number) for reason, number in accounting.rejected.items()),
    ]
    return [(field, number) for field, number in pairs if number]


class MemoryCounters:
    """One generation in memory. Implements CounterStore and CounterReader."""

    def __init__(self, stripes: int = 1, *, beginning: Beginning = WHOLE_LOG) -> None:
        self.beginning = beginning
        self._stripes = [_Stripe(beginning) for _ in range(stripes)]
        self._backfills: dict[str, _Stripe] = defaultdict(partial(_Stripe, beginning))
        self._backfill_states: dict[str, dict[str, int]] = defaultdict(dict)
        self.fresh_as_of: int | None = None
        self.rebuilding = False
        left_out = beginning.left_out_up_to
        self.lost_at: tuple[int, ...] = () if left_out is None else (left_out,)

    @property
    def stripes(self) -> int:
        return len(self._stripes)

    async def checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]]:
        return [[stripe.checkpoints.get(position.name, 0) for stripe in self._stripes] for position in positions]

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        return [
            (self._backfills[increments.backfill] if increments.backfill else self._stripes[increments.stripe]).apply(
                increments
            )
            for increments in batch
        ]

    async def open_backfills(
        self, stripes: Mapping[str, int], positions: Sequence[Position]
    ) -> Mapping[str, Sequence[int]]:
        return {
            name: [self._backfills[name].checkpoints.get(position.name, 0) for position in positions]
            for name in stripes
        }

    async def note_backfill(self, name: str, stripe: int, state: Mapping[str, int]) -> Mapping[str, int]:
        del stripe
        self._backfill_states[name].update(state)
        return dict(self._backfill_states[name])

    async def left_receipts(self, position: str, limit: int) -> Sequence[LeftReceipt]:
        return [
            LeftReceipt(number, entry, receipt)
            for number, stripe in enumerate(self._stripes)
            for entry, receipt in list(stripe.outboxes[position].items())[:limit]
        ]

    async def forget_receipts(self, position: str, receipts: Sequence[LeftReceipt]) -> None:
        for one in receipts:
            self._stripes[one.stripe].outboxes[position].pop(one.entry, None)

    async def read(self, wanted: Sequence[Wanted]) -> Reading:
        mark = await self.mark("")
        owners = [one.of(self.owner(one.owner)) for one in wanted]
        return Reading(owners, self.fresh_as_of, _GENERATION, self.rebuilding, self.lost_at, mark)

    async def mark(self, project: str) -> object:
        del project
        checkpoints = [dict(stripe.checkpoints) for stripe in self._stripes]
        return self.fresh_as_of, self.rebuilding, self.lost_at, checkpoints

    def keep_to(self, known: Mapping[str, int], project: str) -> None:
        """Count no other experiments and variants of the project than these: its limit counts as reached."""
        for stripe in self._stripes:
            stripe.experiments.keep_to(known, project)

    def owner(self, owner: str) -> Mapping[str, int]:
        """All fields of one owner, from whichever stripe or backfill holds it."""
        if owner.startswith("f:"):
            _, name, inner = owner.split(":", 2)
            return dict(self._backfill_states[name] if inner == "state" else self._backfills[name].counters[inner])
        return next((dict(stripe.counters[owner]) for stripe in self._stripes if owner in stripe.counters), {})

    def owners(self) -> Mapping[str, Mapping[str, int]]:
        """Every owner with its fields that are not zero."""
        merged: dict[str, dict[str, int]] = {}
        for stripe in self._stripes:
            for owner, own in stripe.counters.items():
                merged[owner] = {field: number for field, number in own.items() if number}
        for name, backfill in self._backfills.items():
            for owner, own in backfill.counters.items():
                merged[in_backfill(name, owner)] = {field: number for field, number in own.items() if number}
        return merged

    def accounting(self) -> tuple[Mapping[str, Mapping[str, int]], Mapping[str, int]]:
        """(per project: field -> number; per partition: `position|field` -> number)."""
        partitions: dict[str, int] = defaultdict(int)
        projects: dict[str, Mapping[str, int]] = {}
        for stripe in self._stripes:
            for name, number in stripe.accounting.items():
                partitions[name] += number
            projects.update({key: dict(own) for key, own in stripe.projects.items()})
        return projects, dict(partitions)
