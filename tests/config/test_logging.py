"""Logging: at most ten lines a minute per cause, never a secret."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from config.logging import JsonLines, RateLimit, TextLines, mask


def _record(message: str, *args: object, logger: str = "app.x") -> logging.LogRecord:
    return logging.LogRecord(logger, logging.WARNING, __file__, 1, message, args, None)


def test_ten_lines_a_minute_pass_per_cause_and_the_rest_are_counted() -> None:
    now = [0.0]
    limit = RateLimit(clock=lambda: now[0])
    passed = [limit.filter(_record("waiting: %s", number)) for number in range(500)]
    assert passed == [True] * 10 + [False] * 490
    assert limit.filter(_record("another cause"))
    now[0] = 60.0
    after = _record("waiting: %s", 500)
    assert limit.filter(after)
    assert "490 more like this were left out" in TextLines().format(after)
    assert json.loads(JsonLines().format(after))["leftOut"] == 490


def test_no_sixty_seconds_have_more_lines_of_a_cause_than_that() -> None:
    now = [0.0]
    limit = RateLimit(clock=lambda: now[0])
    passed = []
    for second in range(600):
        now[0] = second
        passed += [second] * sum(limit.filter(_record("waiting")) for _ in range(second % 7))
    assert len(passed) == 100
    assert min(last - first for first, last in zip(passed, passed[10:], strict=False)) >= 60


def test_causes_without_end_do_not_fill_the_memory() -> None:
    limit = RateLimit(clock=lambda: 0.0)
    for number in range(5_000):
        limit.filter(_record(f"cause {number}"))
    assert len(limit._causes) <= 1_000


@pytest.mark.parametrize(
    "text",
    [
        "connecting to redis://me:hush@redis:6379/0",
        "headers {'x-api-key': 'hush'}",
        "Authorization: Bearer hush",
        'password="hush"',
        "the key sk_hushhushhush was refused",
    ],
)
def test_secrets_are_masked_in_lines(text: str) -> None:
    assert "hush" not in mask(text)
    assert "hush" not in TextLines().format(_record("%s", text))


def test_an_error_is_one_json_line_with_its_traceback() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        record = _record("failed")
        record.exc_info = sys.exc_info()
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "ValueError: x" in json.loads(line)["error"]
