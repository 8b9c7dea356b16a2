"""`scorekeeper check-cases`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.cases import check
from tests.cli.conftest import Scorekeeper

PRO = {"name": "Pro", "eventType": "signup", "conditions": {"plan": "pro"}}


def _line(case: dict[str, Any]) -> bytes:
    return json.dumps(case).encode()


@pytest.mark.parametrize(
    ("definition", "event", "expected"),
    [
        (PRO, {"type": "signup", "projectKey": "p", "data": {"plan": "pro"}}, True),
        (PRO, {"type": "signup", "data": {"plan": "free"}}, False),
        (PRO, {"type": "login", "data": {"plan": "pro"}}, False),
        (PRO, {"eventType": "signup", "properties": {"plan": "pro"}}, True),
        (PRO, {"type": "signup"}, False),
        ({"conditions": {"plan": "pro"}}, {"data": {"plan": "pro"}}, True),
        ({"conditions": {}}, {"data": {}}, True),
        ({"conditions": {}}, {}, True),
        ({"conditions": {"a.b": {"$gte": 3}}}, {"type": "x", "data": {"a": {"b": 3}}}, True),
        ({"urlPattern": "/products/:id"}, {"url": "https://shop.example/products/7?x=1"}, True),
        ({"urlPattern": "/products/:id"}, {"url": "/products/7/reviews"}, False),
        ({"urlPattern": "/products/:id"}, {"data": {}}, False),
        ({"eventType": "signup", "conditions": {}}, {"type": "signup"}, True),
        ({"conditions": {"n": 9007199254740993}}, {"data": {"n": 9007199254740993}}, True),
        (PRO, {"type": "signup", "timestamp": "2008-04-01T00:00:00Z", "data": {"plan": "pro"}}, True),
        (PRO, {"events": [{"type": "login"}, {"type": "signup", "data": {"plan": "pro"}}]}, True),
        ({"name": "S", "eventType": "s", "counting": "once_per_session"}, {"type": "s"}, False),
        ({"name": "S", "eventType": "s", "counting": "once_per_session"}, {"type": "s", "sessionId": "1"}, True),
    ],
)
def test_a_case_is_answered_by_the_matcher(definition: dict[str, Any], event: dict[str, Any], expected: bool) -> None:
    verdict = check(_line({"definition": definition, "event": event, "matches": expected}), 1)
    assert verdict.got is expected, verdict.why
    assert verdict.passed
    opposite = check(_line({"definition": definition, "event": event, "matches": not expected}), 1)
    assert not opposite.passed


@pytest.mark.parametrize(
    ("definition", "got"),
    [
        ({"conditions": {"plan": {"$bad": 1}}}, "invalid"),
        ({"name": "x", "eventType": "t", "conditions": {"a": {"$regex": "("}}}, "invalid"),
        ({"name": "x", "eventType": "t", "urlPattern": "/a{"}, "invalid"),
        ({"name": "x"}, "invalid"),
        ({"eventType": "t"}, "invalid"),
        ({}, "invalid"),
        ([], "invalid"),
        ({"name": "x", "eventType": "t"}, False),
        ({"conditions": {"plan": "pro"}}, False),
    ],
)
def test_a_definition_that_must_be_refused(definition: object, got: object) -> None:
    verdict = check(json.dumps({"definition": definition, "invalid": True}).encode(), 1)
    assert verdict.got == got
    assert verdict.passed is (got == "invalid")


def test_an_invalid_definition_never_passes_for_no_match() -> None:
    verdict = check(_line({"definition": {"conditions": {"$bad": 1}}, "event": {}, "matches": False}), 1)
    assert (verdict.expected, verdict.got, verdict.passed) == (False, "invalid", False)


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"event": {}, "matches": true}',
        b'{"definition": {}, "matches": true}',
        b'{"definition": {}, "event": {}}',
        b'{"definition": {}, "event": {}, "matches": "yes"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_case_fails_and_says_so(line: bytes) -> None:
    verdict = check(line, 7)
    assert not verdict.passed
    assert verdict.got is None
    assert "line 7 is no case" in verdict.why


def test_a_definition_too_deep_to_read_is_invalid() -> None:
    deep = b'{"$not":' * 3_000 + b"{}" + b"}" * 3_000
    verdict = check(b'{"definition": {"conditions": ' + deep + b'}, "invalid": true}', 1)
    assert verdict.got in ("invalid", None)


def test_failures_are_explained_and_the_numbers_come_last(scorekeeper: Scorekeeper, tmp_path: Path) -> None:
    file = tmp_path / "cases.ndjson"
    event = {"type": "signup", "data": {"plan": "free"}}
    cases = [
        {"name": "right", "definition": PRO, "event": event, "matches": False},
        {"name": "wrong", "definition": PRO, "event": event, "matches": True},
    ]
    file.write_bytes(b"\n\n".join(_line(case) for case in cases))
    ended = scorekeeper("check-cases", file)
    assert ended.code == 1
    assert ended.out.splitlines() == [
        'FAILED wrong: expected a match, got no match: data.plan equals "pro": found "free"',
        "1 passed, 1 failed",
    ]


def test_json_gives_one_object_a_case_in_order(scorekeeper: Scorekeeper) -> None:
    cases = [
        {"definition": PRO, "event": {"type": "signup", "data": {"plan": "pro"}}, "matches": True},
        {"name": "bad", "definition": {"conditions": {"a": {"$x": 1}}}, "invalid": True},
    ]
    ended = scorekeeper("check-cases", "-", "--json", stdin=b"\n".join(_line(case) for case in cases))
    assert ended.code == 0
    first, second = ended.lines()
    assert first == {
        "name": "line 1",
        "expected": True,
        "got": True,
        "passed": True,
        "why": "every clause holds",
    }
    assert (second["name"], second["expected"], second["got"], second["passed"]) == ("bad", "invalid", "invalid", True)


def test_a_file_that_is_not_there_is_wrong_use(scorekeeper: Scorekeeper) -> None:
    ended = scorekeeper("check-cases", "absent.ndjson")
    assert ended.code == 2
    assert "absent.ndjson cannot be read" in ended.err


def test_a_check_of_nothing_does_not_pass(scorekeeper: Scorekeeper, tmp_path: Path) -> None:
    file = tmp_path / "cases.ndjson"
    file.write_bytes(b"\n\n")
    ended = scorekeeper("check-cases", file)
    assert (ended.code, ended.out) == (2, "")
    assert "cases.ndjson holds no case" in ended.err
