"""Numbers as they are given on the command line."""

from __future__ import annotations

import math

import typer


def finite(value: float | None) -> float | None:
    """An option's callback: `nan` lies in every range, and nothing can be computed from it or from `inf`."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number.")
    return value
