"""Matching: whether an event is what a conversion goal counts, and why. The one matcher of the product.

The worker, the preview, `explain`, `verify` and the command line all come here. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain.catalog import Feed
from app.domain.clause import Clause
from app.domain.conversion_goal import ConversionGoal, Counting
from app.domain.event import Event


def matches(event: Event, definition: ConversionGoal) -> bool:
    """Whether the event is what the definition counts. Time plays no part; see `acts_on`."""
    return event.type == definition.event_type and _holds(event, definition, None)


def acts_on(definition: ConversionGoal, received_at: int) -> bool:
    """Whether this version of the definition acts on a record with this broker timestamp."""
    return definition.effective_from <= received_at < definition.effective_until


def matching_feeds(event: Event, candidates: Iterable[Feed]) -> list[Feed]:
    """The candidates (of the event's type) that act on the event and match it.

    `data` is decoded at most once, and a condition or pattern that several definitions share (the catalog sees to it
    that equal ones are the same object) is asked once.
    """
    found: list[Feed] = []
    data: Mapping[str, object] | None = None
    received_at = event.received_at
    answers: dict[int, bool] = {}
    for feed in candidates:
        definition = feed.definition
        if not definition.effective_from <= received_at < definition.effective_until:
            continue
        condition = definition.condition
        if condition is not None:
            if data is None:
                data = event.properties
            answer = answers.get(id(condition))
            if answer is None:
                answer = answers[id(condition)] = condition.matches(data)
            if not answer:
                continue
        pattern = definition.url_pattern
        if pattern is not None:
            if event.url is None:
                continue
            answer = answers.get(id(pattern))
            if answer is None:
                answer = answers[id(pattern)] = pattern.matches(event.url)
            if not answer:
                continue
        if _who(event, definition):
            found.append(feed)
    return found


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


def _present(name: str, value: str | None) -> Clause:
    return Clause(path=name, operator="is given", wanted="a value", found=value, holds=value is not None)
