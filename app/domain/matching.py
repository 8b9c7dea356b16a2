"""Matching: whether an event is what a conversion goal counts, and why. Pure.

The preview, `explain` and the command line come here; the worker and `verify` ask the same conditions and patterns
through the index over many definitions (type_index.py), which a property test holds to this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.clause import Clause
from app.domain.conversion_goal import ConversionGoal, Counting
from app.domain.event import Event


def matches(event: Event, definition: ConversionGoal) -> bool:
    """Whether the event is what the definition counts. Time plays no part; see `acts_on`."""
    return event.type == definition.event_type and _holds(event, definition, None)


def acts_on(definition: ConversionGoal, received_at: int) -> bool:
    """Whether this version of the definition acts on a record with this broker timestamp."""
    return definition.effective_from <= received_at < definition.effective_until


def _holds(event: Event, definition: ConversionGoal, data: Mapping[str, object] | None) -> bool:
    if not _where_and_who(event, definition):
        return False
    condition = definition.condition
    return condition is None or condition.matches(event.properties if data is None else data)


def _where_and_who(event: Event, definition: ConversionGoal) -> bool:
    pattern = definition.url_pattern
    if pattern is not None and (event.url is None or not pattern.matches(event.url)):
        return False
    return _who(event, definition)


def _who(event: Event, definition: ConversionGoal) -> bool:
    counting = definition.counting
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
                holds=event.url is not None and definition.url_pattern.matches(event.url),
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
        held.append(event.url is not None and definition.url_pattern.matches(event.url))
    if definition.condition is not None:
        held.extend(definition.condition.verdicts(event.properties))
    if definition.counting is not Counting.EVERY_EVENT:
        held.append(_who(event, definition))
    return tuple(held)


def _present(name: str, value: str | None) -> Clause:
    return Clause(path=name, operator="is given", wanted="a value", found=value, holds=value is not None)
