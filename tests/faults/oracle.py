"""The independent verifier: what every figure has to be, by plain loops over the log and the definitions' history.

Shares no code with the product: its own reading of JSON, its own matcher (only for the few forms of definitions that
the fault tests use, see `_holds`), its own memory of ids. Slow and obvious on purpose.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

MICRO = 1_000_000
MAX_VALUE = 10**12
FATES = ("received", "counted", "unmatched", "duplicate")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the log; `at` is the broker's timestamp, epoch ms."""

    partition: int
    offset: int
    at: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a conversion goal or a goal; acts on messages with `since <= at < until`."""

    kind: str
    id: str
    project: str
    since: int
    until: int
    created_at: int
    body: Mapping[str, Any]


@dataclass(slots=True)
class Figures:
    """What one goal or conversion goal has to show: conversions (or unique subjects), and their value in millionths."""

    conversions: int = 0
    micros: int = 0


@dataclass(frozen=True, slots=True)
class Conversion:
    """`event` is the id of the event that counted, None where it has none."""

    event: str | None
    micros: int


@dataclass(slots=True)
class Tested:
    """What one experiment has to show, per variant."""

    exposed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    first_at: dict[str, int] = field(default_factory=dict)
    crossed: int = 0
    conversions: dict[tuple[str, str], Figures] = field(default_factory=lambda: defaultdict(Figures))
    """By (conversion goal, variant)."""
    converted: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass(slots=True)
class Answer:
    """Every figure, and every message by its fate."""

    goals: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    conversion_goals: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    projects: dict[str, dict[str, int]] = field(default_factory=dict)
    """Per project: received, counted, unmatched, duplicate; without what was rejected."""
    rejected: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By reason, over all partitions."""
    received: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Per partition."""
    conversions: dict[str, list[Conversion]] = field(default_factory=lambda: defaultdict(list))
    """Each one, by conversion goal."""
    experiments: dict[tuple[str, str], Tested] = field(default_factory=lambda: defaultdict(Tested))
    """By (project, experiment)."""


def count(
    messages: Iterable[Message],
    projects: Mapping[str, int],
    definitions: Sequence[Definition],
    poison: Mapping[bytes | None, str],
) -> Answer:
    """`projects`: key -> since when it exists (broker time). `poison`: value -> the reason it is rejected for.

    The deduplication window is taken to be longer than the log.
    """
    answer = Answer()
    by_project = {key: [one for one in definitions if one.project == key] for key in projects}
    for key in projects:
        answer.projects[key] = dict.fromkeys(FATES, 0)
    messages = sorted(messages, key=lambda one: (one.at, one.partition, one.offset))
    firsts = _expose(answer, messages, projects, poison)
    seen: set[tuple[str, str]] = set()
    first_times: set[tuple[str, str, str]] = set()
    for message in messages:
        answer.received[message.partition] += 1
        if message.value in poison:
            answer.rejected[poison[message.value]] += 1
            continue
        event = json.loads(message.value or b"", parse_float=Decimal)
        project = event["projectKey"]
        if project not in projects or message.at < projects[project]:
            answer.rejected["unknown_project"] += 1
            continue
        fates = answer.projects[project]
        fates["received"] += 1
        acting = [one for one in by_project[project] if one.since <= message.at < one.until]
        matched = [one for one in acting if one.kind == "conversion_goal" and _holds(event, one.body)]
        if not matched:
            fates["unmatched"] += 1
        elif (project, event.get("id", "")) in seen:
            fates["duplicate"] += 1
        else:
            if event.get("id"):
                seen.add((project, event["id"]))
            fates["counted"] += 1
            for definition in matched:
                goals = [one for one in acting if one.kind == "goal"]
                _count(answer, event, definition, goals, first_times)
                _count_tested(answer, event, definition, firsts, first_times)
    return answer


def _expose(
    answer: Answer, messages: Sequence[Message], projects: Mapping[str, int], poison: Mapping[bytes | None, str]
) -> dict[tuple[str, str, str], str]:
    """(project, experiment, subject) -> the variant that it saw first; of two at one moment, the first by name."""
    sightings: dict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)
    for message in messages:
        if message.value in poison:
            continue
        event = json.loads(message.value or b"", parse_float=Decimal)
        project, subject = event["projectKey"], _subject(event)
        if project not in projects or message.at < projects[project]:
            continue
        for key, variant in event.get("experiments", {}).items():
            tested = answer.experiments[project, key]
            tested.first_at[variant] = min(tested.first_at.get(variant, message.at), message.at)
            if subject is not None:
                sightings[project, key, subject].append((message.at, variant))
    for (project, key, _), seen in sightings.items():
        answer.experiments[project, key].exposed[min(seen)[1]] += 1
        answer.experiments[project, key].crossed += len({variant for _, variant in seen}) > 1
    return {whose: min(seen)[1] for whose, seen in sightings.items()}


def _count_tested(
    answer: Answer,
    event: Mapping[str, Any],
    definition: Definition,
    firsts: Mapping[tuple[str, str, str], str],
    first_times: set[tuple[str, str, str]],
) -> None:
    project, subject = event["projectKey"], _subject(event)
    for key, variant in event.get("experiments", {}).items():
        if not _is_due(event, definition, key, first_times):
            continue
        place = definition.id, variant if subject is None else firsts[project, key, subject]
        tested = answer.experiments[project, key]
        tested.conversions[place].conversions += 1
        tested.conversions[place].micros += _micros(event, definition)
        if subject is not None:
            tested.converted[place].add(subject)


def _micros(event: Mapping[str, Any], definition: Definition) -> int:
    path = definition.body.get("valueProperty")
    value = Decimal(event["data"].get(path, 0)) if path else Decimal(0)
    return int(value * MICRO) if abs(value) <= MAX_VALUE else 0


def _holds(event: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    if body.get("status", "active") != "active" or event["type"] != body["eventType"]:
        return False
    counting = body.get("counting", "every_event")
    if counting == "once_per_session" and not event.get("sessionId"):
        return False
    if counting == "once_per_visitor" and not _subject(event):
        return False
    if "urlPattern" in body and event.get("url") != body["urlPattern"]:
        return False
    for name, wanted in body.get("conditions", {}).items():
        found = event.get("data", {}).get(name)
        if isinstance(wanted, dict):
            (limit,) = wanted.values()
            assert list(wanted) == ["$gte"], "the oracle knows $gte and equality"
            if found is None or found < limit:
                return False
        elif found != wanted:
            return False
    return True


def _subject(event: Mapping[str, Any]) -> str | None:
    return event.get("userId") or event.get("visitorId")


def _count(
    answer: Answer,
    event: Mapping[str, Any],
    definition: Definition,
    goals: Sequence[Definition],
    first_times: set[tuple[str, str, str]],
) -> None:
    if not _is_due(event, definition, "", first_times):
        return
    micros = _micros(event, definition)
    own = answer.conversion_goals[definition.id]
    own.conversions += 1
    own.micros += micros
    answer.conversions[definition.id].append(Conversion(event.get("id") or None, micros))
    for goal in goals:
        if goal.body["metric"] != definition.body["metric"] or not _is_in_time(event["timestamp"], goal):
            continue
        shown = answer.goals[goal.id]
        aggregation = goal.body.get("aggregation", "count")
        if aggregation == "unique":
            subject = _subject(event)
            if subject is None or ("unique", goal.id, subject) in first_times:
                continue
            first_times.add(("unique", goal.id, subject))
        shown.conversions += 1
        if aggregation == "sum":
            shown.micros += micros


def _is_due(
    event: Mapping[str, Any], definition: Definition, experiment: str, first_times: set[tuple[str, str, str]]
) -> bool:
    """Whether it is the first of its session or visitor, where only these count; in an experiment, the first that
    carries an assignment to it."""
    counting = definition.body.get("counting", "every_event")
    if counting == "every_event":
        return True
    who = str(event["sessionId"] if counting == "once_per_session" else _subject(event))
    first = (f"{counting} {experiment}", definition.id, who)
    is_due = first not in first_times
    first_times.add(first)
    return is_due


def _is_in_time(occurred_at: int, goal: Definition) -> bool:
    starts = _day(goal.body["startsAt"]) if "startsAt" in goal.body else goal.created_at
    return starts <= occurred_at < _day(goal.body["deadline"]) + timedelta(days=1) // timedelta(milliseconds=1)


def _day(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
