"""`scorekeeper match`: which events of a file a definition matches, and why the others do not. Offline."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from app.cli.explaining import as_json, first_failure
from app.cli.offline import Trial, compile_trial, parse_events, problems_of, read_lines
from app.cli.printing import AsJson, fail, print_json_text, print_line, tell
from app.errors import InvalidDefinition, InvalidEvent


def match(
    definition: Annotated[
        Path, typer.Argument(help="A conversion goal as JSON, as POST /api/conversion-goals takes it.")
    ],
    events: Annotated[
        Path | None, typer.Argument(help="Events, one JSON document a line; `-` or nothing: stdin.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say of the other events which clause failed.")] = False,
    as_json_lines: AsJson = False,
) -> None:
    """Print the events that a definition matches, as they are. Exit code 1 when there is none.

    Asks no server. Lines that are no events are named on stderr; the rest go on.
    """
    trial = _read_definition(definition)
    matched = 0
    try:
        for number, line in read_lines(events):
            matched += _judge(trial, number, line, explain=explain, as_json_lines=as_json_lines)
    except OSError as error:
        fail(f"{events} cannot be read ({error.strerror}); name a file of events, one a line", 2)
    finally:
        sys.stdout.flush()
    if not matched:
        raise typer.Exit(1)


def _read_definition(file: Path) -> Trial:
    try:
        return compile_trial(msgspec.json.decode(file.read_bytes()))
    except OSError as error:
        fail(f"{file} cannot be read ({error.strerror}); name the file of a definition", 2)
    except msgspec.DecodeError as error:
        fail(f"{file} is not JSON: {error}", 2)
    except RecursionError:
        fail(f"{file} is nested too deeply to be a definition", 2)
    except InvalidDefinition as error:
        fail(f"{file} is no valid definition: {problems_of(error)}", 2)


def _judge(trial: Trial, number: int, line: bytes, *, explain: bool, as_json_lines: bool) -> bool:
    try:
        found = parse_events(line, fill_type=trial.takes_every_type)
    except InvalidEvent as error:
        tell(f"line {number}: can never be counted: {error}")
        return False
    matched = any(trial.matches(event) for event in found)
    if as_json_lines:
        explanations = [trial.explain(event) for event in found]
        shown: dict[str, Any] = {
            "line": number,
            "matches": matched,
            "clauses": [as_json(clause) for clause in explanations[0].clauses] if explanations else [],
        }
        print_json_text(json.dumps(shown, ensure_ascii=False, default=str))
    elif matched:
        sys.stdout.write(line.decode() + "\n")
    elif explain:
        why = first_failure(trial.explain(found[0])) if found else "no event of the batch can be counted"
        print_line(f"line {number}: no match: {why}")
    return matched
