"""Moments on the command line: what is no moment that has passed is wrong use, and says what to give."""

from __future__ import annotations

import time

import pytest
import typer

from app.cli.moments import past_moment


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-11-01", 1_761_955_200_000),
        ("2025-11-01T00:00:00Z", 1_761_955_200_000),
        ("2025-11-01T01:00:00.250+01:00", 1_761_955_200_250),
        ("1970-01-01", 0),
        ("1761955200250", 1_761_955_200_250),
    ],
)
def test_a_date_begins_in_utc_and_a_date_time_has_its_offset(text: str, at: int) -> None:
    assert past_moment(text) == at


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2025-02-30", "2025-11-01T00:00:00", "20251101", "-1761955200000", "", "0000-01-01", "9999-12-31"],
)
def test_what_is_no_moment_is_named_with_what_to_give(text: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        past_moment(text)
    told = "Give a date (2026-12-31) or an RFC 3339 date-time with its offset (2026-12-31T23:59:59Z)."
    assert refused.value.message == f"{text!r} is no date that exists. {told}"


def test_a_moment_to_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_761_955_200.0)
    assert past_moment("2025-11-01") == 1_761_955_200_000
    with pytest.raises(typer.BadParameter) as refused:
        past_moment("2025-11-01T00:00:00.001Z")
    assert refused.value.message == (
        "'2025-11-01T00:00:00.001Z' lies in the future. Give a moment that has passed: it is 2025-11-01T00:00:00.000Z."
    )
