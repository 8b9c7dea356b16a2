"""The newest events of a project, read back from the log: what previews, explanations and forms are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.domain.event import Event
from app.domain.increments import Position
from app.domain.parsing import ParsingRules, parse_message
from app.errors import InvalidEvent
from app.streams.log import Log
from app.streams.topics import Topics

MOST_MESSAGES = 20_000
"""How far back is looked, over all partitions: a busy neighbour must not make a preview slow."""


class RecentEvents:
    """Reads with consumers of its own; counting never notices. Raises StoreUnavailable."""

    def __init__(self, topics: Topics, log: Log, names: Sequence[str], rules: ParsingRules) -> None:
        self._topics = topics
        self._log = log
        self._names = names
        self._rules = rules

    async def recent(self, project: str, limit: int) -> list[Event]:
        """At most `limit` of the newest valid events, oldest first by when they were received."""
        ends = await asyncio.to_thread(self._ends)
        share = max(1, min(MOST_MESSAGES, 4 * limit) // max(1, len(ends)))
        found = await asyncio.gather(
            *(
                self._read(position, max(first, end - share), end, project)
                for position, (first, end) in ends.items()
                if end > first
            )
        )
        events = [event for some in found for event in some]
        events.sort(key=lambda event: event.received_at)
        return events[-limit:]

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
