"""`scorekeeper wait`: until all that was published is counted, and how much of it could not be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli.asking import with_parts
from app.cli.numbers import finite
from app.cli.printing import AsJson, counted, print_json, print_line, tell
from app.errors import GenerationMissing

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.domain.increments import Position

    Spans = Mapping[Position, tuple[int, int]]

POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Waited:
    """`lag`: the messages published before the call that are not counted yet. `received` and `rejected` (by reason) are
    the events of these topics so far; `rejected_meanwhile` those that became dead letters during the call."""

    lag: int
    received: int
    rejected: Mapping[str, int]
    rejected_meanwhile: int

    def as_json(self) -> dict[str, Any]:
        return {
            "lag": self.lag,
            "received": self.received,
            "rejected": dict(self.rejected),
            "rejectedMeanwhile": self.rejected_meanwhile,
        }


def wait(
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, callback=finite, help="How many seconds to wait at most.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Return when everything published before the call is counted; exit code 1 and the lag otherwise. What became dead
    letters is counted, too: how many did is told on stderr."""

    async def ask(parts: Parts) -> Waited:
        return await wait_until_counted(parts, timeout)

    waited = with_parts(ask)
    if as_json:
        print_json(waited.as_json())
    elif waited.lag:
        print_line(f"{waited.lag} messages are not counted yet")
    else:
        print_line("all counted")
    if waited.rejected:
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
    return (
        f"dead letters so far: {number} ({reasons}), {meanwhile} of them since this wait began; "
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
    return Waited(lag, now["received"], now["rejected"], meanwhile)


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
