"""Matching: whether an event is what a conversion goal counts, and why. Pure.

The preview, `explain` and the command line come here; the worker and `verify` ask the same conditions and patterns
through the index over many definitions (type_index.py), which a property test holds to this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.clause import Clause
from app.domain.conversion_goal import ConversionGoal, Counting
from app.domain.event import Event


def matches(event: Event, definition: ConversionGoal) -> bool:
    """Whether the event is what the definition counts. When the definition acts plays no part."""
    return (
        event.type == definition.event_type
        and _fits_url(event, definition)
        and is_attributed(event, definition.counting)
        and (definition.condition is None or definition.condition.matches(event.properties))
    )


def _fits_url(event: Event, definition: ConversionGoal) -> bool:
    pattern = definition.url_pattern
    return pattern is None or (event.url is not None and pattern.matches(event.url))


def is_attributed(event: Event, counting: Counting) -> bool:
    """Whether the event has the session or the subject of which it may be the first."""
    if counting is Counting.EVERY_EVENT:
        return True
    return event.session_id is not None if counting is Counting.ONCE_PER_SESSION else event.subject is not None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an event matches a definition or not: one clause a requirement, in the order in which people read them."""

    matches: bool
    clauses: tuple[Clause, ...]

    def first_failure(self) -> Clause | None:
        return next((clause for clause in self.clauses if not clause.holds), None)


def explain(event: Event, definition: ConversionGoal) -> Explanation:
    """Every clause of the definition with what was wanted, what was found, and whether it holds."""
    clauses = [
        Clause(
            path="eventType",
            operator="equals",
            wanted=definition.event_type,
            found=event.type,
            holds=event.type == definition.event_type,
        )
    ]
    if definition.url_pattern is not None:
        clauses.append(
            Clause(
                path="url",
                operator="matches the URL pattern",
                wanted=definition.url_pattern.source,
                found=event.url,
                holds=_fits_url(event, definition),
            )
        )
    if definition.condition is not None:
        clauses.extend(definition.condition.explain(event.properties))
    if definition.counting is Counting.ONCE_PER_SESSION:
        clauses.append(_present("sessionId", event.session_id))
    elif definition.counting is Counting.ONCE_PER_VISITOR:
        clauses.append(_present("userId or visitorId", event.subject))
    return Explanation(matches(event, definition), tuple(clauses))


def verdicts(event: Event, definition: ConversionGoal) -> tuple[bool, ...]:
    """Which of `explain`'s clauses hold, in their order, at a small part of the cost."""
    held = [event.type == definition.event_type]
    if definition.url_pattern is not None:
        held.append(_fits_url(event, definition))
    if definition.condition is not None:
        held.extend(definition.condition.verdicts(event.properties))
    if definition.counting is not Counting.EVERY_EVENT:
        held.append(is_attributed(event, definition.counting))
    return tuple(held)


def _present(name: str, value: str | None) -> Clause:
    return Clause(path=name, operator="is given", wanted="a value", found=value, holds=value is not None)
