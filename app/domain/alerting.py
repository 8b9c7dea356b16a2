"""Alerts: what a rule says of goals as lists show them, and when it is to be told. Pure.

A rule turns each goal into a word (its status; reached or open; silent or heard; stale or fresh), keeps the word that
was told last, and tells of another one once. So that a goal on the edge does not flap, a status has to hold for a
while before it is told; a target is reached once a period; and what was stale is fresh again below half of the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.domain.definition_fields import Fields
from app.domain.fields import HOUR_MS
from app.domain.figures import estimated, exact, reached
from app.domain.goal import Direction, Status
from app.domain.moments import rfc3339
from app.domain.webhook_address import refusal_of_url

FIELDS: Final = ("name", "url", "when", "goalIds", "silentHours", "staleMinutes", "holdMinutes", "status")
DEFAULT_HOLD_MINUTES: Final = 5
_MOST_MINUTES: Final = 30 * 24 * 60
_MINUTE_MS: Final = 60_000
_MOST_GOALS: Final = 100
_MOST_URL: Final = 2000
_PROJECT: Final = ""
"""What a rule about the whole project keeps its word under."""


class When(StrEnum):
    STATUS_CHANGE = "status_change"
    TARGET_REACHED = "target_reached"
    GOAL_SILENT = "goal_silent"
    STALE = "stale"


class AlertStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that was checked. `goals` None: all of the project."""

    name: str
    url: str
    when: When
    goals: frozenset[str] | None
    silent_ms: int
    stale_ms: int
    hold_ms: int
    status: AlertStatus


@dataclass(frozen=True, slots=True)
class Told:
    """The word that was told last (or found first) of one goal, and another one that may take its place: since when."""

    word: str
    next: str | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A project as its lists show it. `items` is None while they do not show how it is now."""

    items: Sequence[Mapping[str, Any]] | None
    fresh_as_of: int | None


def compile_alert(body: Mapping[str, object], *, allow_private: bool) -> Alert:
    """Raises InvalidDefinition that names every wrong field."""
    fields = Fields(body, FIELDS)
    name = fields.text("name", required=True)
    url = fields.text("url", required=True, most=_MOST_URL)
    if url and (refusal := refusal_of_url(url, allow_private=allow_private)):
        fields.problem("url", refusal, "Give an https address that is reachable from the internet.")
    when = fields.optional_choice("when", When)
    if when is None:
        fields.problem("when", "it is missing.", f"One of: {', '.join(When)}.")
    goals = fields.texts("goalIds", most=_MOST_GOALS)
    silent = _span(fields, "silentHours", _MOST_MINUTES // 60, when, When.GOAL_SILENT)
    stale = _span(fields, "staleMinutes", _MOST_MINUTES, when, When.STALE)
    hold = fields.number("holdMinutes")
    if hold is not None and not 0 <= hold <= _MOST_MINUTES:
        fields.problem("holdMinutes", "it is out of range.", f"From 0 to {_MOST_MINUTES}.")
    if hold is not None and when not in {When.STATUS_CHANGE, None}:
        fields.problem("holdMinutes", f"it belongs to {When.STATUS_CHANGE}.", "Leave it out.")
    if goals is not None and when is When.STALE:
        fields.problem("goalIds", "freshness is the whole project's.", "Leave it out.")
    status = fields.choice("status", AlertStatus, AlertStatus.ACTIVE)
    fields.finish()
    return Alert(
        name=name,
        url=url,
        when=when or When.STATUS_CHANGE,
        goals=None if goals is None else frozenset(goals),
        silent_ms=int(silent * HOUR_MS),
        stale_ms=int(stale * _MINUTE_MS),
        hold_ms=int((DEFAULT_HOLD_MINUTES if hold is None else float(hold)) * _MINUTE_MS),
        status=status,
    )


def is_another_rule(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether an edited alert begins anew: one that was paused must not tell of what became of goals meanwhile."""
    return any(before.get(name) != after.get(name) for name in ("when", "silentHours", "staleMinutes", "status"))


def _span(fields: Fields, name: str, most: int, when: When | None, belongs_to: When) -> float:
    given = fields.number(name)
    if when is not belongs_to:
        # Of a wrong `when` nobody knows what belongs to it.
        if when is not None and fields.has(name):
            fields.problem(name, "it does not belong to this `when`.", "Leave it out.")
    elif given is None:
        fields.problem(name, "it is missing.", f"A number above 0, at most {most}.")
    elif not 0 < given <= most:
        fields.problem(name, "it is out of range.", f"A number above 0, at most {most}.")
    return 0.0 if given is None else float(given)


def look(alert: Alert, told: Mapping[str, Told], seen: Seen, now: int) -> tuple[dict[str, Told], list[dict[str, Any]]]:
    """What is kept from now on, and what is to be told: the varying part of a message each.

    What cannot be judged now (a goal that is being counted again, a store that is away) stays as it was.
    """
    if alert.when is When.STALE:
        return _look_at_freshness(alert, told, seen, now)
    if seen.items is None:
        return dict(told), []
    kept: dict[str, Told] = {}
    notices = []
    for item in seen.items:
        ident = item["id"]
        if alert.goals is not None and ident not in alert.goals:
            continue
        before = told.get(ident)
        word = _word(alert, item, before, seen.fresh_as_of)
        if word is None:
            if before is not None:
                kept[ident] = before
            continue
        after = _advance(before, word, now, alert.hold_ms if alert.when is When.STATUS_CHANGE else 0)
        kept[ident] = after
        if _is_news(alert.when, before, after):
            notices.append(_about_goal(alert, item, before))
    return kept, notices


def _look_at_freshness(
    alert: Alert, told: Mapping[str, Told], seen: Seen, now: int
) -> tuple[dict[str, Told], list[dict[str, Any]]]:
    before = told.get(_PROJECT)
    if seen.fresh_as_of is None:
        # How old the last event is that was counted is not known: how long that is so stands for it.
        after = _advance(before or Told("fresh"), "stale", now, alert.stale_ms)
        if not _is_news(alert.when, before, after):
            return {_PROJECT: after}, []
        what = f"The counters have been missing, or filled from the log, for {alert.stale_ms / _MINUTE_MS:g} min"
        text = f"{_sentence_start(alert)}{what}: nothing is shown meanwhile."
        return {_PROJECT: after}, [{"text": text, "freshAsOf": None}]
    age = now - seen.fresh_as_of
    if age > alert.stale_ms or (before is not None and before.word == "stale" and 2 * age > alert.stale_ms):
        word = "stale"
    else:
        word = "fresh"
    after = _advance(before, word, now, 0)
    if not _is_news(alert.when, before, after):
        return {_PROJECT: after}, []
    text = f"{_sentence_start(alert)}All events are counted up to {rfc3339(seen.fresh_as_of)} only."
    return {_PROJECT: after}, [{"text": text, "freshAsOf": rfc3339(seen.fresh_as_of)}]


def _word(alert: Alert, item: Mapping[str, Any], before: Told | None, fresh_as_of: int | None) -> str | None:
    """None: it cannot be judged."""
    if item.get("status") is None or item.get("current") is None or fresh_as_of is None:
        return None
    if alert.when is When.STATUS_CHANGE:
        return str(item["status"])
    if alert.when is When.TARGET_REACHED:
        reached = f"reached {item['periodStartsAt']} {item['target']}"
        # Once: conversions that are taken back and come again are no second time.
        is_reached = _is_reached(item) or (before is not None and before.word == reached)
        return reached if is_reached else "open"
    # Silence is measured up to where all events are counted: a pipeline that stands still is no silent goal.
    until = min(fresh_as_of, _ms(item["endsAt"]))
    last = max(_ms(item["lastConversionAt"] or item["startsAt"]), _ms(item["startsAt"]))
    if fresh_as_of > _ms(item["endsAt"]):
        return "heard"
    return "silent" if until - last > alert.silent_ms else "heard"


def _is_reached(item: Mapping[str, Any]) -> bool:
    if item["statusSource"] == "auto":
        return bool(item["status"] == Status.COMPLETED)
    return bool(item["direction"] != Direction.AT_MOST and item["current"] >= item["target"])


def _advance(before: Told | None, word: str, now: int, hold_ms: int) -> Told:
    if before is None:
        return Told(word)
    if word == before.word:
        return before if before.next is None else Told(word)
    if hold_ms == 0 or (before.next == word and now - before.since >= hold_ms):
        return Told(word)
    return before if before.next == word else replace(before, next=word, since=now)


_TOLD_AT_FIRST: Final = {When.GOAL_SILENT: "silent", When.STALE: "stale"}
"""What is told although nothing is known of before: it is so, whenever it began."""


def _is_news(when: When, before: Told | None, after: Told) -> bool:
    if before is None:
        return after.word == _TOLD_AT_FIRST.get(when)
    if after.word == before.word:
        return False
    if when is When.STATUS_CHANGE:
        return True
    return after.word.startswith("reached") if when is When.TARGET_REACHED else after.word == _TOLD_AT_FIRST[when]


_SHOWN: Final = (
    *("id", "metric", "description", "unit", "status", "current", "target", "expected", "progress"),
    *("lastConversionAt", "freshAsOf", "periodStartsAt", "periodEndsAt"),
)
"""Of a goal, in a message."""


def _about_goal(alert: Alert, item: Mapping[str, Any], before: Told | None) -> dict[str, Any]:
    goal = {name: item.get(name) for name in _SHOWN}
    name = item.get("description") or item["metric"]
    figures = f"{reached(item, item['current'])} of {exact(item['target'])}"
    if alert.when is When.STATUS_CHANGE:
        was = before.word if before is not None else ""
        figures += f", {estimated(item['expected'])} expected"
        text = f"{name}: {_spoken(item['status'])}, was {_spoken(was)} ({figures})."
        return {"text": _sentence_start(alert) + text, "from": was, "to": item["status"], "goal": goal}
    if alert.when is When.TARGET_REACHED:
        return {"text": f"{_sentence_start(alert)}{name}: the target is reached ({figures}).", "goal": goal}
    last = item["lastConversionAt"] or "none yet"
    text = f"{name}: no conversion for {alert.silent_ms / HOUR_MS:g} h (the last: {last})."
    return {"text": _sentence_start(alert) + text, "goal": goal}


def sample(alert: Alert) -> dict[str, Any]:
    """What a test tells."""
    return {"text": f"{_sentence_start(alert)}This is a test.", "test": True}


def _sentence_start(alert: Alert) -> str:
    return f"{alert.name}: "


def _spoken(status: str) -> str:
    return status.replace("_", " ")


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
