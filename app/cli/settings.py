"""`scorekeeper settings`: every setting with value, unit, meaning and where it came from."""

from __future__ import annotations

from app.cli.printing import AsJson, print_json, print_table
from config.loading import describe, load


def show_settings(as_json: AsJson = False) -> None:
    """List all settings: value, unit, meaning, and where the value came from."""
    lines = list(describe(load()))
    if as_json:
        print_json(
            [
                {
                    "name": line.name,
                    "variable": line.variable,
                    "value": line.value,
                    "unit": line.unit,
                    "meaning": line.meaning,
                    "origin": line.origin,
                }
                for line in lines
            ]
        )
        return
    print_table(
        ("variable", "value", "unit", "from", "meaning"),
        ((line.variable, line.value, line.unit, line.origin, line.meaning) for line in lines),
        empty="",
    )
