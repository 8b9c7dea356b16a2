"""The newest events of a project, read back from the log: what previews, explanations and forms are made of."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from app.domain.beginning import Span, Spans
from app.domain.event import Event
from app.domain.increments import Position
from app.domain.landmark import Landmark
from app.domain.parsing import ParsingRules, parse_message
from app.errors import DeletedMeanwhile, InvalidEvent, StoreUnavailable
from app.patience import within
from app.streams.log import Log
from app.streams.topics import Topics
from app.tracking import Batch

MOST_MESSAGES = 20_000
"""How far back is looked, over all partitions: a busy neighbour must not make a preview slow."""
_PART = 2_000
"""Messages that are read in one go, over all partitions, the newest first."""
_FETCH_BYTES = 256 << 10
"""Of a partition at once: beyond a part, what comes is not looked at."""
_PICK_BYTES = 64 << 10
"""So for single records, around which nothing is looked at."""
_SECONDS = 0.5
"""After this, what was read so far is the answer; the next one reaches further back."""
_LANDMARK_SECONDS = 0.3
_YIELD_EVERY = 100
_POSITIONS_SECONDS = 30.0
"""How long the topics' partitions are believed: to ask for them costs a connection."""
_KEPT = 4


@dataclass(slots=True)
class _Known:
    """What was read already, so that a preview at each keystroke reads only what came in between."""

    project: str
    limit: int
    spans: dict[Position, Span] = field(default_factory=dict)
    """Position -> the first offset that was read, and the one after the last."""
    picked: set[Landmark] = field(default_factory=set)
    """Those at which was read alone."""
    events: list[Event] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def lacks_events(self) -> bool:
        return len(self.events) < self.limit

    def add(self, found: Sequence[Event]) -> None:
        """Keep the newest, in the order in which they were received."""
        events = sorted([*self.events, *found], key=lambda event: event.received_at)
        self.events = events[-self.limit :]

    def forget(self) -> None:
        self.spans, self.picked, self.events = {}, set(), []


class RecentEvents:
    """Reads with consumers of its own; counting never notices. Raises StoreUnavailable.

    Of a quiet project beside busy ones the end of the log holds nothing: `landmarks` tells where its events lie.
    """

    def __init__(
        self,
        topics: Topics,
        ends: Callable[[Sequence[Position]], Spans],
        log: Log,
        names: Sequence[str],
        rules: ParsingRules,
        landmarks: Callable[[str], Awaitable[Sequence[Landmark]]],
    ) -> None:
        self._topics = topics
        self._ask_ends = ends
        self._log = log
        self._names = names
        self._rules = rules
        self._landmarks = landmarks
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()
        self._positions: list[Position] = []
        self._positions_at = -_POSITIONS_SECONDS

    async def recent(self, project: str, limit: int) -> list[Event]:
        """At most `limit` of the newest valid events, oldest first by when they were received."""
        known = self._known.setdefault((project, limit), _Known(project, limit))
        self._known.move_to_end((project, limit))
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        async with known.lock:
            try:
                await self._look(known)
            except DeletedMeanwhile:
                known.forget()  # of its parts, some are not in the log any more
                await self._look(known)
            return list(known.events)

    async def _look(self, known: _Known) -> None:
        """Read what is missing of what the log holds now."""
        ends = await asyncio.to_thread(self._ends)
        begun = time.monotonic()
        share = max(1, min(MOST_MESSAGES, 4 * known.limit) // max(1, len(ends)))
        part = max(1, _PART // max(1, len(ends)))
        floors = {position: max(first, end - share) for position, (first, end) in ends.items()}
        if _is_outdated(known.spans, floors, ends):
            known.forget()
        await self._extend(known, _newer(known.spans, floors, ends, part))
        older = _older(known.spans, floors, part)
        while older and known.lacks_events and time.monotonic() - begun < _SECONDS:
            await self._extend(known, older)
            older = _older(known.spans, floors, part)
        # Nothing older is told than what was not looked at yet, unless there would be nothing.
        if not known.events or (known.lacks_events and not older):
            await self._pick(known, _below(known.spans, ends))

    async def _extend(self, known: _Known, wanted: Spans) -> None:
        """Read what is wanted; all of it is known afterwards, or nothing."""
        spans = {position: [span] for position, span in wanted.items()}
        batches = self._log.read_spans(spans, fetch_bytes=_FETCH_BYTES)
        known.add(await self._events_of(known.project, batches, known.picked))
        for position, (start, end) in wanted.items():
            low, high = known.spans.get(position, (start, start))
            known.spans[position] = (min(low, start), max(high, end))

    async def _pick(self, known: _Known, below: Mapping[Position, range]) -> None:
        """Read at the landmarks that lie below what was read as a whole. Without Redis there are none."""
        try:
            told = await within(_LANDMARK_SECONDS, "redis", self._landmarks(known.project))
        except StoreUnavailable:
            return
        new = sorted(set(told) - known.picked)
        wanted = {
            position: [mark for mark in new if mark.position == position.name and mark.offset in offsets]
            for position, offsets in below.items()
        }
        spans = {position: [(mark.offset, mark.offset + 1) for mark in marks] for position, marks in wanted.items()}
        known.add(
            await self._events_of(known.project, self._log.read_spans(spans, fetch_bytes=_PICK_BYTES), frozenset())
        )
        known.picked.update(*wanted.values())

    def _ends(self) -> dict[Position, Span]:
        if time.monotonic() - self._positions_at > _POSITIONS_SECONDS:
            self._positions = [p for topic in self._topics.describe(self._names) for p in topic.positions()]
            self._positions_at = time.monotonic()
        return dict(self._ask_ends(self._positions))

    async def _events_of(
        self, project: str, batches: AsyncGenerator[Batch, None], known: Collection[Landmark]
    ) -> list[Event]:
        """The project's, without those that lie at landmarks which are known."""
        events: list[Event] = []
        async with aclosing(batches):
            async for batch in batches:
                for number, record in enumerate(batch.records):
                    if number % _YIELD_EVERY == 0:
                        await asyncio.sleep(0)  # other requests are answered meanwhile
                    if known and (batch.position.name, record.offset) in known:
                        continue
                    try:
                        parsed = parse_message(record.value, record.timestamp, record.headers, self._rules)
                    except InvalidEvent:
                        continue
                    found = parsed if isinstance(parsed, list) else [parsed]
                    events.extend(event for event in found if isinstance(event, Event) and event.project == project)
        return events


def _is_outdated(
    spans: Spans,
    floors: Mapping[Position, int],
    ends: Spans,
) -> bool:
    """Whether more came since than is looked at, or the log was cut off: where it ended, others lie now or will."""
    return any(
        not floors[position] <= spans[position][1] <= end for position, (_, end) in ends.items() if position in spans
    )


def _newer(
    spans: Spans,
    floors: Mapping[Position, int],
    ends: Spans,
    part: int,
) -> dict[Position, Span]:
    """What came since; of a position that was never read, the newest part."""
    wanted = {}
    for position, (_, end) in ends.items():
        known = spans.get(position)
        start = max(floors[position], end - part if known is None else known[1])
        if start < end:
            wanted[position] = (start, end)
    return wanted


def _older(spans: Spans, floors: Mapping[Position, int], part: int) -> dict[Position, Span]:
    """The next part further back of each position."""
    return {
        position: (max(floor, spans[position][0] - part), spans[position][0])
        for position, floor in floors.items()
        if position in spans and spans[position][0] > floor
    }


def _below(spans: Spans, ends: Spans) -> dict[Position, range]:
    """Per position, the offsets that the log holds below what was read as a whole."""
    return {position: range(first, spans[position][0]) for position, (first, _) in ends.items() if position in spans}
