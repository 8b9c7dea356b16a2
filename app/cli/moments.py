"""Moments as they are given on the command line."""

from __future__ import annotations

import time
from typing import Final

import typer

from app.domain.goal_definition import MOMENT_REMEDY, first_moment
from app.domain.moments import rfc3339

WHEN: Final = "MOMENT"
"""How help names such a value."""


def past_moment(text: str) -> int:
    """Epoch ms of a date's first millisecond in UTC, or of an RFC 3339 date-time. What is wrong is wrong use."""
    try:
        moment = first_moment(text, "UTC")
    except OverflowError:
        moment = None
    if moment is None:
        raise typer.BadParameter(f"{text!r} is no date that exists. {MOMENT_REMEDY}")
    now = int(time.time() * 1000)
    if moment > now:
        raise typer.BadParameter(f"{text!r} lies in the future. Give a moment that has passed: it is {rfc3339(now)}.")
    return moment
