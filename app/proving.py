"""Proof that the number is right: count the log again, from where the counters begin, and compare every one.

What is compared is the state at one moment of each stripe: its checkpoints say up to where the log was counted, and
exactly that much is counted again, in memory, by the tracker that counts live.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.backfilling import fold_backfills
from app.domain import fields
from app.domain.beginning import Beginning, Spans
from app.domain.catalog import Catalog
from app.domain.folding import Folder, Record
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Position
from app.domain.parsing import parse_message
from app.errors import InvalidEvent
from app.ports import CounterStore
from app.recounting import (
    Comparison,
    Counters,
    Difference,
    NoDeadLetters,
    RecountProgress,
    StoreUpTo,
    compare,
    recount,
)
from app.rereading import LogAsLeft, LogSource, Marks, received_at
from app.tracking import Batch, OpenedGeneration, Tracker

MAX_IDS = 20


class Snapshot(Protocol):
    """Counters of each stripe, or of a backfill, as they were at one moment: owner -> field -> number."""

    @property
    def beginning(self) -> Beginning: ...

    async def snapshot(self) -> Sequence[Counters]: ...

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Counters: ...


class ReadableCounters(CounterStore, Protocol):
    """A store in memory whose owners can be listed."""

    def owners(self) -> Mapping[str, Mapping[str, int]]: ...

    def keep_to(self, known: Mapping[str, int], project: str) -> None:
        """Count no other experiments and variants of the project than these."""
        ...


class FixedCatalog:
    """Implements CatalogKeeper with one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.current = catalog

    async def reach(self, received_at: int) -> None:
        del received_at


@dataclass(slots=True)
class Explained:
    """A difference, with the ids of the events that the log says count there (at most MAX_IDS)."""

    difference: Difference
    event_ids: list[str] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.event_ids) >= MAX_IDS


@dataclass(slots=True)
class Verdict:
    """`equal` is proof for the whole log, or for what came `since` then; `unprovable` lists what the log holds no more.

    `unfinished` names the goals whose backfill is still being made: they show no number, and are not compared.
    """

    messages: int
    compared: int
    differences: list[Explained]
    unprovable: list[str]
    unfinished: list[str] = field(default_factory=list)
    since: int | None = None
    """What came before this moment (epoch ms) is not counted, and was not read."""

    @property
    def equal(self) -> bool:
        return not self.differences and not self.unprovable


def checkpoints_of(stripes: Sequence[Counters]) -> Mapping[str, Sequence[int]]:
    """Position name -> its checkpoint in each stripe."""
    names = {name for stripe in stripes for name in stripe.get("cp", {})}
    return {name: [stripe.get("cp", {}).get(name, 0) for stripe in stripes] for name in names}


def counters_of(stripes: Sequence[Counters]) -> dict[str, dict[str, int]]:
    """Only what goals, conversion goals and experiments show: owner -> field -> number."""
    merged: dict[str, dict[str, int]] = {}
    for stripe in stripes:
        for owner, own in stripe.items():
            if owner[:2] in {"g:", "h:", "c:", "k:", "x:", "y:"}:
                merged[owner] = {name: number for name, number in own.items() if number}
    return merged


async def verify(
    snapshot: Snapshot,
    make_memory: Callable[[], ReadableCounters],
    rules: FoldingRules,
    read_catalog: Callable[[], Awaitable[Catalog]],
    log: LogSource,
    read_ends: Callable[[], Awaitable[Spans]],
    *,
    only_goal: str | None = None,
    on_progress: Callable[[RecountProgress], None] = lambda _: None,
) -> Verdict:
    """Recount and compare. May run beside live counting.

    `read_catalog` gives the definitions as they are when it is called; `read_ends`
    the first offset and the end of each position of the topics as they are then. Raises StoreUnavailable.
    """
    held = await _look(snapshot, rules, read_catalog, read_ends)
    marks = _marks(held.stripes, held.ends)
    spans = _counted_spans(marks, held.ends)
    memory = make_memory()
    for owner, known in counters_of(held.stripes).items():
        # Which ones came before the limit was reached is decided by the order in which partitions were counted.
        if owner.startswith("y:") and known.get(fields.REFUSED):
            memory.keep_to(known, owner[2:])

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(StoreUpTo(memory, marks), rules)

    async def tell(progress: RecountProgress) -> None:
        on_progress(progress)

    deleted_below: dict[str, int] = {}

    async def note_hole(position: Position, start: int, to: int) -> None:
        deleted_below[position.name] = max(deleted_below.get(position.name, start), to)

    whole = FixedCatalog(replace(held.catalog, backfills={}))
    tracker = Tracker(open_generation, whole, NoDeadLetters())
    messages = await recount(tracker, log, spans, tell, note_hole, marks)
    left = LogAsLeft(log, note_hole)
    backfilled, unfinished = await _recount_backfills(held, memory, rules, left)
    have: Counters = {**counters_of(held.stripes), **backfilled}
    should: Counters = memory.owners()
    if only_goal is not None:
        have, should = _of_goal(have, only_goal), _of_goal(should, only_goal)
        unfinished = [goal for goal in unfinished if goal == only_goal]
    comparison = compare(have, should)
    explained = await _name_events(comparison, held.catalog, rules, left, spans)
    unprovable = await _unprovable(held, snapshot.beginning, deleted_below, left)
    return Verdict(messages, comparison.compared, explained, unprovable, unfinished, snapshot.beginning.since)


@dataclass(frozen=True, slots=True)
class _Held:
    """What the store held, and what decided that."""

    stripes: Sequence[Counters]
    backfills: Mapping[str, Counters]
    """By name."""
    catalog: Catalog
    ends: Spans
    """What the log holds of what is to be counted."""


async def _look(
    snapshot: Snapshot,
    rules: FoldingRules,
    read_catalog: Callable[[], Awaitable[Catalog]],
    read_ends: Callable[[], Awaitable[Spans]],
) -> _Held:
    """The counters first: what had been counted by then lies below the ends that the log has after it, and was decided
    by definitions that are there after it. Those that come still later act on none of it."""
    stripes = await snapshot.snapshot()
    backfills = {
        name: await snapshot.backfill_snapshot(name, backfill.goal, rules.stripe_of(backfill.project))
        for name, backfill in (await read_catalog()).backfills.items()
    }
    return _Held(stripes, backfills, await read_catalog(), snapshot.beginning.within(await read_ends()))


def _of_goal(counters: Counters, goal: str) -> Counters:
    wanted = (fields.goal_owner(goal), fields.goal_history_owner(goal))
    return {owner: own for owner, own in counters.items() if owner.endswith(wanted)}


async def _recount_backfills(
    held: _Held, memory: ReadableCounters, rules: FoldingRules, log: LogSource
) -> tuple[dict[str, Mapping[str, int]], list[str]]:
    """Count each filled backfill into memory up to its own checkpoints.

    Returns what the store holds of them, and the goals of those that are not filled yet.
    """
    have: dict[str, Mapping[str, int]] = {}
    unfinished: list[str] = []
    marks: dict[Position, dict[str, int]] = defaultdict(dict)
    for name, backfill in held.catalog.backfills.items():
        own = held.backfills.get(name)
        if own is None or not own[fields.STATE].get(fields.FILLED):
            unfinished.append(backfill.goal)
            continue
        for owner in (fields.goal_owner(backfill.goal), fields.goal_history_owner(backfill.goal)):
            have[fields.in_backfill(name, owner)] = {
                counter: number for counter, number in own[owner].items() if number
            }
        for position in held.ends:
            marks[position][name] = own["cp"].get(position.name, 0)
    folder = Folder(held.catalog, rules)
    for position, checkpoints in marks.items():
        await _fill_memory(folder, memory, log, position, held.ends[position][0], checkpoints)
    return have, unfinished


async def _fill_memory(
    folder: Folder,
    memory: ReadableCounters,
    log: LogSource,
    position: Position,
    first: int,
    ends: Mapping[str, int],
) -> None:
    """One reading for all, which leaves each out from its own end on."""
    at = dict.fromkeys(ends, 0)
    for end in sorted({end for end in ends.values() if end > first}):
        due = {name: checkpoint for name, checkpoint in at.items() if ends[name] >= end}
        start = max(first, min(due.values()))
        async with aclosing(log.read(position, start, end)) as batches:
            async for batch in batches:
                increments = fold_backfills(folder, position, batch.records, batch.next_offset, due, 0)
                await memory.apply(increments)
                due = {part.backfill: part.next_offset for part in increments}
        at.update(due)


def _marks(stripes: Sequence[Counters], ends: Spans) -> Marks:
    """Of the positions that any stripe has counted something of."""
    reached = checkpoints_of(stripes)
    return {position: reached[position.name] for position in ends if position.name in reached}


def _counted_spans(marks: Marks, ends: Spans) -> Spans:
    """What the log still holds of what was counted: first offset, end."""
    return {
        position: (ends[position][0], min(max(own), ends[position][1]))
        for position, own in marks.items()
        if ends[position][0] < max(own)
    }


async def _unprovable(held: _Held, beginning: Beginning, deleted_below: Mapping[str, int], log: LogSource) -> list[str]:
    """`deleted_below`: where the log of a position begins that was deleted while it was counted again."""
    present = {position.name: (position, span) for position, span in held.ends.items()}
    told = []
    for name, marks in sorted(checkpoints_of(held.stripes).items()):
        if name not in present:
            if max(marks):
                told.append(f"{name}: {max(marks)} messages were counted from a topic that is gone")
            continue
        position, (first, end) = present[name]
        first = max(first, deleted_below.get(name, 0))
        if first > beginning.of(position) and held.catalog.had_projects(await received_at(log, position, first)):
            told.append(f"{name}: offsets below {first} were counted and are not in the log any more")
        if max(marks) > end:
            told.append(f"{name}: offsets below {max(marks)} were counted, and the log ends at {end}: it was cut there")
    return told


async def _name_events(
    comparison: Comparison,
    catalog: Catalog,
    rules: FoldingRules,
    log: LogSource,
    spans: Spans,
) -> list[Explained]:
    """Read once more for the ids behind each difference, until there are enough of each. Nothing is read when there is
    none."""
    explained = [Explained(difference) for difference in comparison.differences]
    if not explained:
        return explained
    wanted: dict[str, list[Explained]] = defaultdict(list)
    for one in explained:
        wanted[one.difference.owner.rpartition(":")[2]].append(one)
    for position, (first, end) in spans.items():
        async with aclosing(log.read(position, first, end)) as batches:
            async for batch in batches:
                _collect(batch, catalog, rules, wanted)
                if all(one.is_full for one in explained):
                    return explained
    return explained


def _collect(batch: Batch, catalog: Catalog, rules: FoldingRules, wanted: Mapping[str, Sequence[Explained]]) -> None:
    for record in batch.records:
        for ident, occurred_at, owners in _conversions(record, catalog, rules):
            for owner in owners:
                for one in wanted.get(owner, ()):
                    if not one.is_full and _is_within(one.difference, occurred_at):
                        one.event_ids.append(ident)


def _is_within(difference: Difference, occurred_at: int) -> bool:
    """Whether an event of that time falls under the field: an hour's field narrows, all others take every event."""
    name = difference.field
    if difference.owner.startswith("x:") or "." not in name:
        return True
    return name.partition(".")[2] == str(occurred_at // fields.HOUR_MS)


def _conversions(record: Record, catalog: Catalog, rules: FoldingRules) -> list[tuple[str, int, list[str]]]:
    """(event id, occurred at, ids of the definitions, goals and experiments it counts for), for each event of the
    message."""
    try:
        parsed = parse_message(record.value, record.timestamp, record.headers, rules.parsing)
    except InvalidEvent:
        return []
    found = []
    for event in parsed if isinstance(parsed, list) else [parsed]:
        if isinstance(event, InvalidEvent):
            continue
        view = catalog.projects.get(event.project)
        if view is None:
            continue
        types = view.by_type.get(event.type)
        feeds = types.matching(event) if types is not None else ()
        owners = [feed.definition.id for feed in feeds if feed.counts_itself]
        fed = [each for feed in feeds for each in (feed, *feed.backfills.values())]
        owners += dict.fromkeys(goal.id for feed in fed for goal in (*feed.goals, *feed.denominators))
        owners += [fields.experiment_id(event.project, key) for key in event.experiments or ()]
        if owners:
            found.append((event.id or f"(no id, offset {record.offset})", event.occurred_at, owners))
    return found
