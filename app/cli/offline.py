"""What `match` and `check-cases` share: definitions and events as people write them for a try. No server is asked.

A definition may be a mere fragment, and an event may leave out its project: what is missing is filled in, so that only
what was written decides. Age plays no part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from sys import stdin
from typing import Any, Final

import msgspec

from app.cli.explaining import first_failure
from app.domain.conversion_goal import ConversionGoal, compile_conversion_goal
from app.domain.event import Event
from app.domain.matching import Explanation, explain, matches
from app.domain.parsing import ParsingRules, parse_message
from app.errors import InvalidDefinition, InvalidEvent, in_one_line

STDIN: Final = Path("-")
_RULES: Final = ParsingRules(default_project="offline", max_age_ms=2**62, max_ahead_ms=2**62)
_NAMES: Final = frozenset({"name", "eventType"})
_fields_of: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Trial:
    """A definition to try on events; without an event type of its own it takes every type."""

    definition: ConversionGoal
    takes_every_type: bool

    def matches(self, event: Event) -> bool:
        return matches(event, self._for(event))

    def explain(self, event: Event) -> Explanation:
        return explain(event, self._for(event))

    def _for(self, event: Event) -> ConversionGoal:
        return replace(self.definition, event_type=event.type) if self.takes_every_type else self.definition


def compile_trial(body: object, *, is_strict: bool = False) -> Trial:
    """The definition, a missing name and event type filled in. Raises InvalidDefinition.

    When `is_strict`, they are filled in only where both are missing beside something else: in a fragment.
    """
    if not isinstance(body, Mapping):
        raise InvalidDefinition("", "it is not an object.", "Write a JSON object with the definition's fields.")
    missing = {name for name in _NAMES if body.get(name) is None}
    is_fragment = missing == _NAMES and bool(body)
    if is_strict and not is_fragment:
        missing = set()
    filled = {**body, **dict.fromkeys(missing, "any")}
    return Trial(compile_conversion_goal(filled), takes_every_type="eventType" in missing)


def parse_events(line: bytes, *, fill_type: bool) -> list[Event]:
    """The events in a line; elements of a batch that can never be counted are left out. Raises InvalidEvent."""
    if fill_type:
        line = _with_type(line)
    parsed = parse_message(line, _now_ms(), None, _RULES)
    return [one for one in parsed if isinstance(one, Event)] if isinstance(parsed, list) else [parsed]


def judge(trial: Trial, line: bytes) -> tuple[bool, str]:
    """Whether any event of the line matches, and why. An event that can never be counted does not match."""
    try:
        events = parse_events(line, fill_type=trial.takes_every_type)
    except InvalidEvent as error:
        return False, f"the event can never be counted: {error}"
    if any(trial.matches(event) for event in events):
        return True, "every clause holds"
    if not events:
        return False, "no event of the batch can be counted"
    return False, first_failure(trial.explain(events[0]))


def read_lines(file: Path | None) -> Iterator[tuple[int, bytes]]:
    """(number, line) of a file, or of stdin for None and `-`; blank lines are left out. Raises OSError."""
    source = stdin.buffer if file is None or file == STDIN else file.open("rb")
    with source:
        for number, line in enumerate(source, start=1):
            text = line.rstrip(b"\r\n")
            if text.strip():
                yield number, text


def problems_of(error: InvalidDefinition) -> str:
    """Every wrong field in one line."""
    return in_one_line(str(problem) for problem in error.each)


def _with_type(line: bytes) -> bytes:
    try:
        fields: dict[str, Any] = dict(_fields_of(line))
    except (msgspec.MsgspecError, RecursionError):
        return line
    has_type = {"type", "eventType", "events", "specversion"} & fields.keys()
    return line if has_type else msgspec.json.encode({**fields, "type": "any"})


def _now_ms() -> int:
    return int(time.time() * 1000)
