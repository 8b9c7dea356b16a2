"""Where the log holds the first messages since a moment, for a generation that begins there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from app.domain.beginning import Beginning, Span, Spans
from app.domain.increments import Position
from app.rereading import received_at
from app.streams.log import Log
from app.streams.topics import Topics


async def find_whole_log(log: Log, spans: Spans, now: int) -> Beginning:
    """All that the log holds; what it held before is left out. Raises StoreUnavailable."""
    offsets = {position.name: first for position, (first, _) in spans.items() if first > 0}
    return Beginning(offsets=offsets, left_out_up_to=max(await _deleted_up_to(log, spans, now), default=None))


async def find_beginning(topics: Topics, log: Log, positions: Sequence[Position], since: int, now: int) -> Beginning:
    """At each position the first message that was received at or after `since` (epoch ms), or the end of what there is.

    Raises StoreUnavailable.
    """
    # The ends first: where nothing came since then, what comes while it is asked for is counted.
    spans = await asyncio.to_thread(topics.ends, positions)
    hints = await asyncio.to_thread(topics.first_since, positions, since)
    begins = {
        position: await _first_since(log, position, hints.get(position, end), end, since)
        for position, (_, end) in spans.items()
    }
    before = {position: [(first, begins[position])] for position, (first, _) in spans.items()}
    left_out = [since - 1] if await _holds_messages(log, before) else []
    # Of these what was deleted may have come after that moment.
    headless = {position: span for position, span in spans.items() if begins[position] <= span[0]}
    left_out += await _deleted_up_to(log, headless, now)
    return Beginning(since, {position.name: begin for position, begin in begins.items()}, max(left_out, default=None))


async def _deleted_up_to(log: Log, spans: Spans, now: int) -> list[int]:
    """Of each position whose log does not begin with its first message: when what is left began to be received."""
    found = []
    for position, (first, end) in spans.items():
        if first > 0:
            received = await received_at(log, position, first) if first < end else None
            found.append(now if received is None else received)
    return found


async def _first_since(log: Log, position: Position, start: int, end: int, since: int) -> int:
    """From `start` on. Asked for a moment, the embedded broker names an earlier message, or the log's first."""
    async with aclosing(log.read_spans({position: [(start, end)]})) as batches:
        async for batch in batches:
            for record in batch.records:
                if record.timestamp >= since:
                    return record.offset
    return max(start, end)


async def _holds_messages(log: Log, spans: Mapping[Position, Sequence[Span]]) -> bool:
    """Offsets may be without any: those of control records, and of compaction."""
    async with aclosing(log.read_spans(spans)) as batches:
        async for batch in batches:
            if batch.records:
                return True
    return False
