"""Moments as they are given on the command line."""

from __future__ import annotations

import re
import time

import typer

from app.domain.goal_definition import MOMENT_REMEDY, first_moment
from app.domain.moments import rfc3339

_EPOCH_MS = re.compile(r"[0-9]{12,15}")
"""From 1973 on: a date that lacks its dashes is shorter."""


def past_moment(text: str) -> int:
    """Epoch ms of a date's first millisecond in UTC, of an RFC 3339 date-time, or of epoch ms, as our JSON has them.

    What is wrong is wrong use.
    """
    try:
        moment = int(text) if _EPOCH_MS.fullmatch(text) else first_moment(text, "UTC")
    except OverflowError:
        moment = None
    if moment is None:
        raise typer.BadParameter(f"{text!r} is no date that exists. {MOMENT_REMEDY}")
    now = int(time.time() * 1000)
    if moment > now:
        raise typer.BadParameter(f"{text!r} lies in the future. Give a moment that has passed: it is {rfc3339(now)}.")
    return moment


def since_option(about: str) -> typer.models.OptionInfo:
    """`--since` of a command, which says what it is about; None where it is not given."""
    how = "a date (its beginning in UTC), a date-time with its offset, or epoch milliseconds"
    option: typer.models.OptionInfo = typer.Option(
        "--since", metavar="MOMENT", parser=past_moment, help=f"{about}: {how}."
    )
    return option
