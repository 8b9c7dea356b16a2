"""`scorekeeper check-cases`: unit tests for definitions, for a team's own CI. Offline.

A case is one JSON document a line: `{"name"?, "definition": {…}, "event": {…}, "matches": true|false}`, or
`{"definition": {…}, "invalid": true}` for a definition that must be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from app.cli.offline import compile_trial, judge, problems_of, read_lines
from app.cli.printing import AsJson, fail, print_json_text, print_line
from app.errors import InvalidDefinition

Answer = Literal["invalid"] | bool | None


class Case(msgspec.Struct):
    """One line of the file. `definition` and `event` stay as they were written."""

    definition: msgspec.Raw
    name: str | None = None
    event: msgspec.Raw = msgspec.Raw(b"")
    matches: bool | None = None
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case. `got` is None when the line is no case."""

    name: str
    expected: Answer
    got: Answer
    why: str

    @property
    def passed(self) -> bool:
        return self.got is not None and self.expected == self.got

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "expected": self.expected,
            "got": self.got,
            "passed": self.passed,
            "why": self.why,
        }


def check_cases(
    cases: Annotated[Path, typer.Argument(help="Cases, one JSON document a line; `-`: stdin.")],
    as_json_lines: AsJson = False,
) -> None:
    """Hold definitions to cases: print each failure with its explanation, then `N passed, N failed`.

    A case: {"name"?, "definition": {...}, "event": {...}, "matches": true|false}, or {"definition": {...},
    "invalid": true}. Asks no server; what a definition or an event leaves out is filled in.
    """
    passed = failed = 0
    try:
        for number, line in read_lines(cases):
            verdict = check(line, number)
            passed, failed = passed + verdict.passed, failed + (not verdict.passed)
            if as_json_lines:
                print_json_text(msgspec.json.encode(verdict.as_json()).decode())
            elif not verdict.passed:
                print_line(f"FAILED {verdict.name}: {_complaint(verdict)}")
    except OSError as error:
        fail(f"{cases} cannot be read ({error.strerror}); name a file of cases, one a line", 2)
    if not passed + failed:
        fail(f"{cases} holds no case: a check of nothing would pass whatever the definitions say", 2)
    if not as_json_lines:
        print_line(f"{passed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


def check(line: bytes, number: int) -> Verdict:
    """The verdict on one line."""
    try:
        case = msgspec.json.decode(line, type=Case)
    except (msgspec.MsgspecError, RecursionError) as error:
        return Verdict(f"line {number}", None, None, f"line {number} is no case: {error}")
    name = case.name or f"line {number}"
    has_event = bool(bytes(case.event))
    if not case.invalid and (case.matches is None or not has_event):
        return Verdict(name, None, None, f"line {number} is no case: it needs `event` and `matches`, or `invalid`")
    expected: Answer = "invalid" if case.invalid else case.matches
    try:
        trial = compile_trial(msgspec.json.decode(case.definition), is_strict=not has_event)
    except InvalidDefinition as error:
        return Verdict(name, expected, "invalid", problems_of(error))
    except (msgspec.MsgspecError, RecursionError) as error:
        return Verdict(name, expected, "invalid", f"the definition cannot be read: {error}")
    if not has_event:
        # Valid is what it is; there is no event to match.
        return Verdict(name, expected, False, "the definition is valid")
    got, why = judge(trial, bytes(case.event))
    return Verdict(name, expected, got, why)


def _complaint(verdict: Verdict) -> str:
    if verdict.got is None:
        return verdict.why
    return f"expected {_words(verdict.expected)}, got {_words(verdict.got)}: {verdict.why}"


def _words(answer: Answer) -> str:
    if answer == "invalid":
        return "an invalid definition"
    return "a match" if answer else "no match"
