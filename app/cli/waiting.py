"""`scorekeeper wait`: until all that was published is counted, and how much of it could not be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli.asking import with_parts
from app.cli.numbers import finite
from app.cli.printing import AsJson, counted, print_json, print_line, tell
from app.domain.moments import rfc3339
from app.errors import GenerationMissing, NotFound, StoreUnavailable
from app.patience import within

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.domain.beginning import Spans

POLL_SECONDS: Final = 0.05
RECENT_MS: Final = 3_600_000
"""Who publishes little, and then waits, is told of dead letters that came before the wait: so old they may be."""
LETTER_SECONDS: Final = 5.0
"""How long looking for the last dead letter may take: all is counted by then."""


@dataclass(frozen=True, slots=True)
class Waited:
    """`lag`: the messages published before the call that are not counted yet. `received` and `rejected` (by reason) are
    the events of these topics so far; `rejected_meanwhile` those that became dead letters during the call.
    `last_rejected_at`: when the last one did (epoch ms), as far as the topic of dead letters tells."""

    lag: int
    received: int
    rejected: Mapping[str, int]
    rejected_meanwhile: int
    last_rejected_at: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "lag": self.lag,
            "received": self.received,
            "rejected": dict(self.rejected),
            "rejectedMeanwhile": self.rejected_meanwhile,
            "lastRejectedAt": rfc3339(self.last_rejected_at),
        }

    def is_to_be_told(self, now: int) -> bool:
        """Whether dead letters came during the call, or so lately that they may be of what was published for it."""
        last = self.last_rejected_at
        return bool(self.rejected_meanwhile) or (last is not None and last >= now - RECENT_MS)


def wait(
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, callback=finite, help="How many seconds to wait at most.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Return when everything published before the call is counted; exit code 1 and the lag otherwise. What became dead
    letters is counted, too: how many did is told on stderr, where some did meanwhile or within the last hour."""

    async def ask(parts: Parts) -> Waited:
        return await wait_until_counted(parts, timeout)

    waited = with_parts(ask)
    if as_json:
        print_json(waited.as_json())
    elif waited.lag:
        print_line(f"{waited.lag} messages are not counted yet")
    else:
        print_line("all counted")
    if waited.is_to_be_told(int(time.time() * 1000)):
        tell(f"scorekeeper: {dead_letters(waited)}")
    if waited.lag:
        tell("scorekeeper: is a worker running? `scorekeeper status` shows them")
        raise typer.Exit(1)


def dead_letters(waited: Waited) -> str:
    """How many there are and why, in a sentence; they need not be of this wait, since who publishes little is counted
    before anybody waits."""
    number = f"{sum(waited.rejected.values()):,} of {counted(waited.received, 'event')}"
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in waited.rejected.items())
    meanwhile = f"{waited.rejected_meanwhile:,}" if waited.rejected_meanwhile else "none"
    last = "" if waited.last_rejected_at is None else f", the last one at {rfc3339(waited.last_rejected_at)}"
    return (
        f"dead letters so far: {number} ({reasons}), {meanwhile} of them since this wait began{last}; "
        "`scorekeeper dead-letters list` shows why"
    )


async def wait_until_counted(parts: Parts, timeout_seconds: float) -> Waited:
    """Return when everything published before the call is counted, or after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    spans = await parts.spans()
    before = await _fates(parts, spans)
    while True:
        lag = await _lag(parts, spans)
        if not lag or time.monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    now = await _fates(parts, spans)
    # Less than before: another generation is shown by now.
    meanwhile = max(0, sum(now["rejected"].values()) - sum(before["rejected"].values()))
    last_at = await _last_letter_at(parts) if now["rejected"] else None
    return Waited(lag, now["received"], now["rejected"], meanwhile, last_at)


async def _last_letter_at(parts: Parts) -> int | None:
    """None also where the topic is gone or cannot be read: all is counted for all that, and those of the wait are
    known by their number."""
    with suppress(NotFound, StoreUnavailable):
        return await within(LETTER_SECONDS, "kafka", parts.letters.last_at())
    return None


async def _lag(parts: Parts, spans: Spans) -> int:
    """A log that begins later than the checkpoint has lost what lies between: that is not waited for."""
    try:
        found = await (await parts.counters()).checkpoints(list(spans))
    except GenerationMissing:
        found = [[0] for _ in spans]
    pairs = zip(found, spans.values(), strict=True)
    return sum(max(0, end - max(min(own), first)) for own, (first, end) in pairs)


async def _fates(parts: Parts, spans: Spans) -> dict[str, Any]:
    from app.bootstrap.accounting import fates_of_positions

    try:
        stripes = await (await parts.counters()).snapshot(["acct"])
    except GenerationMissing:
        stripes = []
    return fates_of_positions(stripes, (position.name for position in spans))
