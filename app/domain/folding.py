"""Folding: a run of records of one partition -> the increments it brings, and the dead letters in it. Pure.

However the same records are split into batches, they count the same: what depends on earlier events (is this id new?
the first of its session?) is left to the store, in the order of the log (see gathering.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import msgspec

from app.domain.catalog import Catalog
from app.domain.correcting import Correction
from app.domain.effects import Effect, effect_of
from app.domain.event import Event
from app.domain.fields import HOUR_MS
from app.domain.folding_rules import FoldingRules
from app.domain.gathering import Gathering
from app.domain.increments import Accounting, Exposure, Increments, Position
from app.domain.native import UNDATED, undated
from app.domain.parsing import parse_message
from app.domain.receipts import Place
from app.domain.type_index import Feed, TypeIndex
from app.errors import InvalidEvent, Reason

MOST_WAYS: Final = 20_000
NO_BACKFILLS: Final[Mapping[str, int]] = {}


class Record(Protocol):
    """A message as it lies in the log. `timestamp` is the broker's, epoch ms, where `timestamp_type` says so; UNDATED
    where the message has none."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or one element of a batch message, that can never be counted."""

    record: Record
    reason: Reason
    detail: str
    project: str = ""
    index: int | None = None
    """Which element of a batch message; None is the whole message."""


class _Tally(msgspec.Struct, gc=False):
    """One project's part of a batch. Kept for the next batches: of thousands of projects each has few events in one, so
    that a new one would cost more than what it counts."""

    types: Mapping[str, TypeIndex]
    since: int
    stripe: int
    batch: int = 0
    """Of which batch is all that follows."""
    lowest: int = 0
    """The stripe's checkpoint: records below it are in its counters."""
    landmark: int = 0
    """The offset of its first event."""
    received: int = 0
    unmatched: int = 0
    duplicate: int = 0
    rejected: dict[str, int] | None = None

    def begin(self, batch: int, lowest: int, landmark: int) -> None:
        self.batch, self.lowest, self.landmark = batch, lowest, landmark
        self.received = self.unmatched = self.duplicate = 0
        self.rejected = None


class _Way:
    """What becomes of the events that matched the same feeds, as long as no boundary of their effect, and of the epoch
    of their ids, is crossed."""

    __slots__ = ("effect", "epoch", "is_simple", "occurred_since", "occurred_until", "received_since", "received_until")

    def __init__(self, effect: Effect, epoch: int, window_ms: int) -> None:
        self.effect, self.epoch = effect, epoch
        self.occurred_since, self.occurred_until = effect.occurred
        self.received_since = max(effect.received[0], epoch * window_ms)
        self.received_until = min(effect.received[1], (epoch + 1) * window_ms)
        self.is_simple = effect.is_simple and bool(effect.parts)
        """Whether nothing but their ids matters, of those that no experiment and no correction concerns."""

    def fits(self, event: Event) -> bool:
        return (
            self.occurred_since <= event.occurred_at < self.occurred_until
            and self.received_since <= event.received_at < self.received_until
        )


class Folder:
    """Folds batches with one catalog, one after the other. Keeps ways (which counters matched definitions move) and
    tallies between them."""

    def __init__(self, catalog: Catalog, rules: FoldingRules, *, with_receipts: bool = False) -> None:
        self.catalog = catalog
        self._with_receipts = with_receipts
        self._rules = rules
        self._ways: dict[tuple[object, int, int], _Way] = {}
        """By the identity of the feeds, the hour and the epoch."""
        self._newest_ways: dict[object, _Way] = {}
        """By the identity of the feeds."""
        self.tallies: dict[str, _Tally] = {}
        """Of the projects that had events."""
        self._batches = 0

    def fold(
        self,
        position: Position,
        records: Sequence[Record],
        checkpoints: Sequence[int],
        next_offset: int,
        watermark: int,
        backfills: Mapping[str, int] = NO_BACKFILLS,
        receipts_from: int = 0,
    ) -> tuple[list[Increments], list[DeadLetter]]:
        """The increments of each stripe and the dead letters of the records at or beyond the stripe's checkpoint.

        `checkpoints` has one entry a stripe. `backfills`: the checkpoints of those that are to be folded too; their
        increments follow those of the stripes. `receipts_from`: the offset from which on there are receipts, where any
        are asked for. Raises nothing because of what a record holds.
        """
        increments = [
            Increments(position, stripe, expected, max(expected, next_offset), watermark)
            for stripe, expected in enumerate(checkpoints)
        ]
        own = {
            name: Increments(
                position, self._stripe_of(name), expected, max(expected, next_offset), watermark, backfill=name
            )
            for name, expected in backfills.items()
        }
        begin = receipts_from if self._with_receipts else None
        self._batches += 1
        batch = _Batch(self, self._batches, increments, own, min((*checkpoints, *backfills.values())), begin)
        batch.add_all(records)
        batch.close()
        return [*increments, *own.values()], batch.dead_letters

    def _stripe_of(self, backfill: str) -> int:
        return self._rules.stripe_of(self.catalog.backfills[backfill].project)

    def tally(self, project: str) -> _Tally | None:
        """None where there is no such project."""
        tally = self.tallies.get(project)
        if tally is None and (view := self.catalog.projects.get(project)) is not None:
            stripe = self._rules.stripe_of(project)
            tally = self.tallies[project] = _Tally(view.by_type, view.project.created_at, stripe)
        return tally

    def effect(self, feeds: Sequence[Feed], event: Event) -> Effect:
        """The effect for an event that matched these feeds."""
        return self.way(feeds, event).effect

    def way(self, feeds: Sequence[Feed], event: Event) -> _Way:
        """The way of an event that matched these feeds; remembered for events at about the same time."""
        key = id(feeds[0]) if len(feeds) == 1 else tuple(map(id, feeds))
        way = self._newest_ways.get(key)
        if way is None or not way.fits(event):
            way = self._newest_ways[key] = self._find_way(key, feeds, event)
        return way

    def _find_way(self, key: object, feeds: Sequence[Feed], event: Event) -> _Way:
        epoch = event.received_at // self._rules.window_ms
        # Late events lie between the others: each hour's way is found again.
        full = (key, event.occurred_at // HOUR_MS, epoch)
        way = self._ways.get(full)
        if way is None or not way.fits(event):
            if len(self._ways) > MOST_WAYS:
                self._ways.clear()
                self._newest_ways.clear()
            effect = effect_of(feeds, event.occurred_at, event.received_at)
            way = self._ways[full] = _Way(effect, epoch, self._rules.window_ms)
        return way

    @property
    def rules(self) -> FoldingRules:
        return self._rules


class _Batch:
    """The state of one fold."""

    def __init__(
        self,
        folder: Folder,
        serial: int,
        increments: list[Increments],
        backfills: Mapping[str, Increments],
        lowest: int,
        receipts_from: int | None,
    ) -> None:
        self._folder = folder
        self._rules = folder.rules
        self._parsing = folder.rules.parsing
        self._serial = serial
        self._gatherings = [Gathering(own, self._rules) for own in increments]
        self._lowest = lowest
        self._receipts_from = receipts_from
        self._known_tallies = folder.tallies
        self._tallies: dict[str, _Tally] = {}
        """Of this batch."""
        # Nothing is read below the checkpoint then: all that is matched is new.
        self._takes_alike = receipts_from is None and not backfills
        self._backfills = {name: Gathering(own, self._rules) for name, own in backfills.items()}
        self.dead_letters: list[DeadLetter] = []

    def add_all(self, records: Sequence[Record]) -> None:
        """The hot path: nearly every record is one event, and most match nothing."""
        lowest, rules = self._lowest, self._parsing
        if records and records[0].offset < lowest:
            records = [record for record in records if record.offset >= lowest]
        for record in records:
            try:
                parsed = parse_message(record.value, record.timestamp, record.headers, rules)
            except InvalidEvent as error:
                self._reject(record, error, None)
                continue
            if type(parsed) is Event:
                self._add_event(record, parsed, None)
                continue
            for index, element in enumerate(cast("list[Event | InvalidEvent]", parsed)):
                if isinstance(element, InvalidEvent):
                    self._reject(record, element, index)
                else:
                    self._add_event(record, element, index)

    def _add_event(self, record: Record, event: Event, index: int | None) -> None:
        tally = self._known_tallies.get(event.project)
        if tally is None or tally.batch != self._serial:
            tally = self._open(event.project, record.offset)
        if tally is None or event.received_at < tally.since:
            self._reject(record, _refused(event, is_known=tally is not None), index)
            return
        is_new = record.offset >= tally.lowest
        if is_new:
            tally.received += 1
        elif not self._backfills:
            return
        if is_new and event.experiments is not None and event.corrects is None:
            self._expose(tally, event, event.experiments)
        types = tally.types.get(event.type)
        if types is None:
            tally.unmatched += is_new
            return
        if event.corrects is not None:
            self._correct(tally, event, Correction.of(event, event.corrects, types, self._folder.effect), record, index)
            return
        feeds = types.matching(event)
        if feeds:
            self._add_match(record, event, index, tally, feeds)
        else:
            tally.unmatched += is_new

    def _add_match(self, record: Record, event: Event, index: int | None, tally: _Tally, feeds: Sequence[Feed]) -> None:
        way, gathering = self._folder.way(feeds, event), self._gatherings[tally.stripe]
        effect = way.effect
        if way.is_simple and self._takes_alike and event.experiments is None:
            alike = gathering.kinds.get(way) or gathering.begin(way, effect, event.project, way.epoch)
            if gathering.join(alike, event):
                return
        for name, own in effect.backfills:
            filled = self._backfills.get(name)
            if filled is not None and own.parts and record.offset >= filled.increments.expected:
                accounting = _accounting(filled, event)
                accounting.duplicate += not filled.add(way, own, event)
        if record.offset < tally.lowest:
            return
        if not effect.parts:
            tally.unmatched += 1
        elif not gathering.add(way, effect, event, self._place(record, event, index)):
            tally.duplicate += 1

    def _place(self, record: Record, event: Event, index: int | None) -> Place | None:
        """Where the event lies, for its receipts; None where there are none."""
        if self._receipts_from is None or record.offset < self._receipts_from:
            return None
        epoch = event.received_at // self._rules.window_ms
        return Place(self._gatherings[0].increments.position, record.offset, index, epoch)

    def _expose(self, tally: _Tally, event: Event, experiments: Mapping[str, str]) -> None:
        """Whether the event counts, or is a duplicate, plays no part: its subject saw these variants."""
        exposures = self._gatherings[tally.stripe].increments.exposures
        subject = self._rules.hash(event.project, "\0subject", event.subject) if event.subject else None
        for experiment, variant in experiments.items():
            exposure = Exposure(event.project, experiment, variant, subject)
            exposures[exposure] = min(exposures.get(exposure, event.received_at), event.received_at)

    def _open(self, project: str, offset: int) -> _Tally | None:
        """The project's tally, begun for this batch where it was not yet. None where there is no such project."""
        tally = self._folder.tally(project)
        if tally is not None and tally.batch != self._serial:
            tally.begin(self._serial, self._gatherings[tally.stripe].increments.expected, offset)
            self._tallies[project] = tally
        return tally

    def _correct(self, tally: _Tally, event: Event, correction: Correction, record: Record, index: int | None) -> None:
        """Each once, in each counting, where the original was counted in it."""
        for name, own in correction.backfills.items():
            filled = self._backfills.get(name)
            if filled is not None and own.has_parts and record.offset >= filled.increments.expected:
                _accounting(filled, event)
                filled.take_back(event, own, None)
        if record.offset < tally.lowest:
            return
        if correction.has_parts:
            self._gatherings[tally.stripe].take_back(event, correction, self._place(record, event, index))
        else:
            tally.unmatched += 1

    def _reject(self, record: Record, error: InvalidEvent, index: int | None) -> None:
        # An unknown project has no accounting of its own, or anybody could create keys without bound.
        tally = self._open(error.project, record.offset) if error.project else None
        increments = self._gatherings[tally.stripe if tally is not None else 0].increments
        if record.offset < increments.expected:
            return
        if tally is not None:
            tally.received += 1
            rejected = tally.rejected = tally.rejected or {}
        else:
            increments.partition.received += 1
            rejected = increments.partition.rejected
        rejected[error.reason] = rejected.get(error.reason, 0) + 1
        self.dead_letters.append(DeadLetter(record, error.reason, error.detail, error.project, index))

    def close(self) -> None:
        """Hash the ids, and add each project's tally to its own accounting and to the partition's."""
        for gathering in (*self._gatherings, *self._backfills.values()):
            gathering.close()
        for key, tally in self._tallies.items():
            if tally.received:
                increments = self._gatherings[tally.stripe].increments
                own = Accounting(tally.received, tally.unmatched, tally.duplicate)
                if tally.rejected is not None:
                    own.rejected = tally.rejected
                increments.projects[key] = own
                increments.landmarks[key] = tally.landmark
        for gathering in self._gatherings:
            gathering.increments.partition.add_all(gathering.increments.projects.values())


def _accounting(filled: Gathering, event: Event) -> Accounting:
    """A backfill's, whose events are of one project; one more was received."""
    accounting = filled.increments.projects.setdefault(event.project, filled.increments.partition)
    accounting.received += 1
    return accounting


def _refused(event: Event, *, is_known: bool) -> InvalidEvent:
    """Of an event whose project did not exist when it was received."""
    if is_known and event.received_at == UNDATED:
        return undated(event.project)
    return InvalidEvent(Reason.UNKNOWN_PROJECT, f"no project has the key {event.project!r}")
