"""The newest events of a project, read back from the log: what previews, explanations and forms are made of."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.event import Event
from app.domain.increments import Position
from app.domain.parsing import ParsingRules, parse_message
from app.errors import InvalidEvent
from app.streams.log import Log
from app.streams.topics import Topics

MOST_MESSAGES = 20_000
"""How far back is looked, over all partitions: a busy neighbour must not make a preview slow."""


_KEPT = 4


@dataclass(slots=True)
class _Known:
    """What was read already, so that a preview at each keystroke reads only what came in between."""

    until: dict[Position, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RecentEvents:
    """Reads with consumers of its own; counting never notices. Raises StoreUnavailable."""

    def __init__(self, topics: Topics, log: Log, names: Sequence[str], rules: ParsingRules) -> None:
        self._topics = topics
        self._log = log
        self._names = names
        self._rules = rules
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()

    async def recent(self, project: str, limit: int) -> list[Event]:
        """At most `limit` of the newest valid events, oldest first by when they were received."""
        known = self._known.setdefault((project, limit), _Known())
        self._known.move_to_end((project, limit))
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        async with known.lock:
            ends = await asyncio.to_thread(self._ends)
            share = max(1, min(MOST_MESSAGES, 4 * limit) // max(1, len(ends)))
            found = await asyncio.gather(
                *(
                    self._read(position, max(first, end - share, known.until.get(position, 0)), end, project)
                    for position, (first, end) in ends.items()
                    if end > max(first, known.until.get(position, 0))
                )
            )
            events = known.events + [event for some in found for event in some]
            events.sort(key=lambda event: event.received_at)
            known.events = events[-limit:]
            known.until = {position: end for position, (_, end) in ends.items()}
            return list(known.events)

    def _ends(self) -> dict[Position, tuple[int, int]]:
        positions = [p for topic in self._topics.describe(self._names) for p in topic.positions()]
        return dict(self._topics.ends(positions))

    async def _read(self, position: Position, start: int, end: int, project: str) -> list[Event]:
        events: list[Event] = []
        async for batch in self._log.read(position, start, end):
            for record in batch.records:
                try:
                    parsed = parse_message(record.value, record.timestamp, record.headers, self._rules)
                except InvalidEvent:
                    continue
                found = parsed if isinstance(parsed, list) else [parsed]
                events.extend(event for event in found if isinstance(event, Event) and event.project == project)
            await asyncio.sleep(0)
        return events
