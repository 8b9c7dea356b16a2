"""Why a goal's status became another one: told from what was recorded of it last, and what is seen now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from app.domain.figures import estimated, exact, rounded
from app.domain.goal import Direction, Status


class Cause(StrEnum):
    NONE = "none"
    """The status stayed: kept as what the next change is held against, and not shown."""
    OVERRIDDEN = "overridden"
    OVERRIDE_ENDED = "override_ended"
    EDITED = "edited"
    PERIOD_BEGAN = "period_began"
    TARGET_REACHED = "target_reached"
    LIMIT_PASSED = "limit_passed"
    DEADLINE_PASSED = "deadline_passed"
    TAKEN_BACK = "taken_back"
    PACE_LOST = "pace_lost"
    PACE_REGAINED = "pace_regained"


@dataclass(frozen=True, slots=True)
class Observation:
    """A goal as it was shown at a moment (epoch ms). Figures are as JSON shows them."""

    goal: str
    at: int
    status: str
    source: str
    revision: int
    period_starts_at: str | None
    is_over: bool
    """The deadline is behind the moment up to which all events are counted."""
    target: float
    direction: str
    current: float
    expected: float
    progress: float


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What is recorded. `number` counts a goal's records from 1: of two writers of one number one is dropped."""

    number: int
    before: str | None
    """None where the status did not change."""
    cause: Cause
    seen: Observation


def observe(item: Mapping[str, Any], now: int) -> Observation | None:
    """A goal as lists show it -> the observation; None where the list says no status (it is being rebuilt)."""
    if item.get("status") is None or item.get("current") is None or item.get("freshAsOf") is None:
        return None
    return Observation(
        goal=item["id"],
        at=now,
        status=item["status"],
        source=item["statusSource"],
        revision=item["revision"],
        period_starts_at=item["periodStartsAt"] if item.get("period") else None,
        # Both are RFC 3339 in UTC with milliseconds, which sort as they follow each other.
        is_over=item["freshAsOf"] > item["endsAt"],
        target=item["target"],
        direction=item["direction"],
        current=item["current"],
        expected=item["expected"],
        progress=item["progress"],
    )


def next_change(last: StatusChange | None, seen: Observation) -> StatusChange | None:
    """What is to be recorded after `last`; None when all is as it was.

    An edit, an override and a new period are recorded also when the status stays, or a later change of pace would be
    put down to them.
    """
    if last is None:
        return StatusChange(1, None, Cause.NONE, seen)
    before = last.seen
    if before.status != seen.status:
        return StatusChange(last.number + 1, before.status, _cause(before, seen), seen)
    if _circumstances(before) != _circumstances(seen):
        return StatusChange(last.number + 1, None, Cause.NONE, seen)
    return None


def _circumstances(seen: Observation) -> tuple[object, ...]:
    return seen.source, seen.revision, seen.period_starts_at


_SEVERITY: Final = {str(status): place for place, status in enumerate(Status)}


def _cause(before: Observation, seen: Observation) -> Cause:
    if seen.source == "manual":
        return Cause.OVERRIDDEN
    if before.source == "manual":
        return Cause.OVERRIDE_ENDED
    if before.revision != seen.revision:
        return Cause.EDITED
    if before.period_starts_at != seen.period_starts_at:
        return Cause.PERIOD_BEGAN
    if seen.status == Status.COMPLETED:
        return Cause.TARGET_REACHED
    if seen.is_over:
        return Cause.DEADLINE_PASSED
    if seen.direction == Direction.AT_MOST and seen.current > seen.target and seen.status == Status.BEHIND:
        return Cause.LIMIT_PASSED
    if before.status == Status.COMPLETED:
        return Cause.TAKEN_BACK
    worse = _SEVERITY[seen.status] > _SEVERITY[before.status]
    return Cause.PACE_LOST if worse else Cause.PACE_REGAINED


_SENTENCES: Final[Mapping[Cause, str]] = {
    Cause.NONE: "The status stayed as it was.",
    Cause.OVERRIDDEN: "The status was set by hand.",
    Cause.OVERRIDE_ENDED: "The status set by hand was taken back.",
    Cause.EDITED: "The goal was edited.",
    Cause.PERIOD_BEGAN: "A new period began.",
    Cause.TARGET_REACHED: "The target is reached: {current} of {target}.",
    Cause.LIMIT_PASSED: "The limit is passed: {current}, and at most {target} was wanted.",
    Cause.DEADLINE_PASSED: "The deadline passed at {current} of {target}.",
    Cause.TAKEN_BACK: "Conversions were taken back: {current} of {target}.",
    Cause.PACE_LOST: "{current}, where {expected} was expected by now.",
    Cause.PACE_REGAINED: "{current}, and {expected} was expected by now.",
}
_KEPT_WITHIN: Final = "The time is over, and the limit was kept: {current} of at most {target}."


def sentence(change: StatusChange, *, is_rate: bool = False) -> str:
    """The reason in words. `is_rate`: the goal's values are quotients."""
    seen = change.seen
    is_kept = change.cause is Cause.TARGET_REACHED and seen.direction == Direction.AT_MOST and seen.is_over
    said = _KEPT_WITHIN if is_kept else _SENTENCES[change.cause]
    current = rounded(seen.current) if is_rate else exact(seen.current)
    return said.format(current=current, target=exact(seen.target), expected=estimated(seen.expected))
