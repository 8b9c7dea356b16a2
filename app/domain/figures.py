"""Figures as people read them, with separators: in alerts, recorded changes and on the command line. Pure.

`static/format.js` says the same on the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MOST_EXACT: Final = 1_000_000_000
"""Above it a binary float, which is what JSON's readers have, does not hold six decimals."""


def exact(value: float) -> str:
    """What was counted or is wanted: whole, or to the last of the six decimals that sums have; cents are two."""
    if abs(value) > _MOST_EXACT:
        return rounded(value)
    whole, _, decimals = f"{value:,.6f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals:0<2}" if decimals else whole


def rounded(value: float) -> str:
    """A quotient or an estimate: whole, or with two decimals."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def estimated(value: float) -> str:
    """What is expected by now: whole, or with one decimal."""
    return f"{value:,.1f}".removesuffix(".0")


def reached(goal: Mapping[str, Any], value: float) -> str:
    """A value of the goal, as lists show the goal: a rate is a quotient, all else is exact."""
    return rounded(value) if goal.get("aggregation") == "rate" else exact(value)
