"""`scorekeeper match`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Scorekeeper

EVENTS = (
    b'{"type":"purchase",  "projectKey":"p","data":{"amount":80.50},"note":"\xc3\xa4"}\n'
    b"not json\n"
    b"\n"
    b'{"type":"purchase","data":{"amount":10}}\n'
    b'{"type":"visit"}\n'
)


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "definition.json"
    file.write_text(json.dumps({"name": "Big", "eventType": "purchase", "conditions": {"amount": {"$gte": 50}}}))
    return file


def test_matching_events_are_printed_unchanged_and_bad_lines_named(scorekeeper: Scorekeeper, definition: Path) -> None:
    ended = scorekeeper("match", definition, "-", stdin=EVENTS)
    assert ended.code == 0
    assert ended.out.encode() == EVENTS.splitlines(keepends=True)[0]
    assert ended.err.startswith("line 2: can never be counted: invalid_json")


def test_stdin_is_read_when_no_file_is_named(scorekeeper: Scorekeeper, definition: Path) -> None:
    assert scorekeeper("match", definition, stdin=EVENTS).out.count("\n") == 1


def test_explain_says_which_clause_failed_on_what(scorekeeper: Scorekeeper, definition: Path) -> None:
    out = scorekeeper("match", definition, "--explain", stdin=EVENTS).out
    assert "line 4: no match: data.amount $gte 50: found 10" in out
    assert 'line 5: no match: eventType equals "purchase": found "visit"' in out


def test_json_gives_every_clause(scorekeeper: Scorekeeper, definition: Path) -> None:
    first, second, third = scorekeeper("match", definition, "--json", stdin=EVENTS).lines()
    assert (first["line"], first["matches"]) == (1, True)
    assert second["clauses"][1] == {"path": "amount", "operator": "$gte", "wanted": 50, "holds": False, "found": 10}
    assert "found" not in third["clauses"][1]


def test_no_match_is_exit_code_1(scorekeeper: Scorekeeper, definition: Path) -> None:
    assert scorekeeper("match", definition, stdin=b'{"type":"visit"}').code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ('{"conditions": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
        ('{"name":"x","eventType":"y","conditions":{"a":{"$gtee":1}}}', "$gtee"),
        ('{"name":"x","eventTyp":"y"}', "Did you mean 'eventType'?"),
    ],
)
def test_a_wrong_definition_is_wrong_use(scorekeeper: Scorekeeper, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(text)
    ended = scorekeeper("match", file)
    assert ended.code == 2
    assert said in ended.err
