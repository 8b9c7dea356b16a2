"""Proof that the number is right: count the log again, from its first record, and compare every counter.

What is compared is the state at one moment of each stripe: its checkpoints say up to where the log was counted, and
exactly that much is counted again, in memory, by the tracker that counts live.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.backfilling import fold_backfills
from app.domain import fields
from app.domain.catalog import Catalog
from app.domain.folding import Folder, Record
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Position
from app.domain.parsing import parse_message
from app.errors import InvalidEvent
from app.ports import CounterStore
from app.recounting import Comparison, Counters, Difference, LogSource, NoDeadLetters, Progress, compare, recount
from app.tracking import Batch, Counting, Tracker

MAX_IDS = 20


class Snapshot(Protocol):
    """Counters of each stripe, or of a backfill, as they were at one moment: owner -> field -> number."""

    async def snapshot(self) -> Sequence[Mapping[str, Mapping[str, int]]]: ...

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Mapping[str, Mapping[str, int]]: ...


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


@dataclass(slots=True)
class Verdict:
    """`equal` is proof for the whole log; `unprovable` lists what the log holds no more.

    `unfinished` names the goals whose backfill is still being made: they show no number, and are not compared.
    """

    messages: int
    compared: int
    differences: list[Explained]
    unprovable: list[str]
    unfinished: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differences and not self.unprovable


def checkpoints_of(stripes: Sequence[Mapping[str, Mapping[str, int]]]) -> Mapping[str, Sequence[int]]:
    """Position name -> its checkpoint in each stripe."""
    names = {name for stripe in stripes for name in stripe.get("cp", {})}
    return {name: [stripe.get("cp", {}).get(name, 0) for stripe in stripes] for name in names}


def counters_of(stripes: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
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
    catalog: Catalog,
    log: LogSource,
    ends: Mapping[Position, tuple[int, int]],
    *,
    only_goal: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Verdict:
    """Recount and compare. `ends`: per position of the topics as they are now, the first offset and the end.

    May run beside live counting. Raises StoreUnavailable.
    """
    stripes = await snapshot.snapshot()
    reached = checkpoints_of(stripes)
    unprovable = _unprovable(reached, ends)
    spans = _counted_spans(reached, ends)
    memory = make_memory()
    for owner, known in counters_of(stripes).items():
        # Which ones came before the limit was reached is decided by the order in which partitions were counted.
        if owner.startswith("y:") and known.get(fields.REFUSED):
            memory.keep_to(known, owner[2:])

    async def open_counting() -> Counting:
        return Counting(memory, rules)

    async def tell(progress: Progress) -> None:
        on_progress(progress)

    whole = replace(catalog, backfills={})
    messages = await recount(Tracker(open_counting, FixedCatalog(whole), NoDeadLetters()), log, spans, tell)
    backfilled, unfinished = await _recount_backfills(snapshot, memory, rules, catalog, log, ends)
    have: Counters = {**counters_of(stripes), **backfilled}
    should: Counters = memory.owners()
    if only_goal is not None:
        have, should = _of_goal(have, only_goal), _of_goal(should, only_goal)
        unfinished = [goal for goal in unfinished if goal == only_goal]
    comparison = compare(have, should)
    explained = await _name_events(comparison, catalog, rules, log, spans)
    return Verdict(messages, comparison.compared, explained, unprovable, unfinished)


def _of_goal(counters: Counters, goal: str) -> Counters:
    wanted = (fields.goal_owner(goal), fields.goal_history_owner(goal))
    return {owner: own for owner, own in counters.items() if owner.endswith(wanted)}


async def _recount_backfills(
    snapshot: Snapshot,
    memory: ReadableCounters,
    rules: FoldingRules,
    catalog: Catalog,
    log: LogSource,
    ends: Mapping[Position, tuple[int, int]],
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Count each filled backfill into memory up to its own checkpoints.

    Returns what the store holds of them, and the goals of those that are not filled yet.
    """
    have: dict[str, dict[str, int]] = {}
    unfinished: list[str] = []
    marks: dict[Position, dict[str, int]] = defaultdict(dict)
    for name, backfill in catalog.backfills.items():
        own = await snapshot.backfill_snapshot(name, backfill.goal, rules.stripe_of(backfill.project))
        if not own[fields.STATE].get(fields.FILLED):
            unfinished.append(backfill.goal)
            continue
        for owner in (fields.goal_owner(backfill.goal), fields.goal_history_owner(backfill.goal)):
            have[fields.in_backfill(name, owner)] = {field: number for field, number in own[owner].items() if number}
        for position in ends:
            marks[position][name] = own["cp"].get(position.name, 0)
    folder = Folder(catalog, rules)
    for position, checkpoints in marks.items():
        await _fill_memory(folder, memory, log, position, ends[position][0], checkpoints)
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
        async for batch in log.read(position, start, end):
            increments = fold_backfills(folder, position, batch.records, batch.next_offset, due, 0)
            await memory.apply(increments)
            due = {part.backfill: part.next_offset for part in increments}
        at.update(due)


def _counted_spans(
    reached: Mapping[str, Sequence[int]], ends: Mapping[Position, tuple[int, int]]
) -> dict[Position, tuple[int, int]]:
    """What the log still holds of what every stripe has counted: first offset, end."""
    spans = {}
    for position, (first, end) in ends.items():
        marks = reached.get(position.name)
        if marks is not None and first < min(marks):
            spans[position] = (first, min(*marks, end))
    return spans


def _unprovable(reached: Mapping[str, Sequence[int]], ends: Mapping[Position, tuple[int, int]]) -> list[str]:
    present = {position.name: first for position, (first, _) in ends.items()}
    told = []
    for name, marks in sorted(reached.items()):
        if name not in present:
            if max(marks):
                told.append(f"{name}: {max(marks)} messages were counted from a topic that is gone")
            continue
        if present[name] > 0:
            told.append(f"{name}: offsets below {present[name]} were counted and are not in the log any more")
        if min(marks) != max(marks):
            told.append(f"{name}: the stripes are at different offsets; try again when the lag is gone")
    return told


async def _name_events(
    comparison: Comparison,
    catalog: Catalog,
    rules: FoldingRules,
    log: LogSource,
    spans: Mapping[Position, tuple[int, int]],
) -> list[Explained]:
    """Read once more for the ids behind each difference. Nothing is read when there is none."""
    explained = [Explained(difference) for difference in comparison.differences]
    if not explained:
        return explained
    wanted: dict[str, list[Explained]] = defaultdict(list)
    for one in explained:
        wanted[one.difference.owner.rpartition(":")[2]].append(one)
    for position, (first, end) in spans.items():
        async for batch in log.read(position, first, end):
            _collect(batch, catalog, rules, wanted)
    return explained


def _collect(batch: Batch, catalog: Catalog, rules: FoldingRules, wanted: Mapping[str, Sequence[Explained]]) -> None:
    for record in batch.records:
        for ident, occurred_at, owners in _conversions(record, catalog, rules):
            for owner in owners:
                for one in wanted.get(owner, ()):
                    if len(one.event_ids) < MAX_IDS and _is_within(one.difference, occurred_at):
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
