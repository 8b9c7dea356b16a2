"""Medians and ratios of the contenders, for the terminal and for the docs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tests.benchmarks.harness import Result

BASE = "plain Faust agent"
OURS = "Scorekeeper"
COLUMNS = ("contender", "events/s", "of plain Faust", "spread", "CPU s per million", "MiB", "counts")


def summarise(results: list[Result]) -> dict[str, float | bool]:
    """Medians, and whether every run counted right."""
    rates = [result.events_per_second for result in results]
    return {
        "eventsPerSecond": round(statistics.median(rates)),
        "slowest": round(min(rates)),
        "fastest": round(max(rates)),
        "cpuSecondsPerMillion": round(statistics.median(result.cpu_seconds_per_million for result in results), 2),
        "rssMiB": round(max(result.rss_mib for result in results)),
        "readySeconds": round(statistics.median(result.ready_seconds for result in results), 1),
        "isRight": all(result.is_right for result in results),
    }


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a contender, the fastest first."""
    contenders = found["contenders"]
    base = contenders.get(BASE, {}).get("eventsPerSecond")
    return [
        (
            name,
            f"{own['eventsPerSecond']:,}",
            f"{own['eventsPerSecond'] / base:.1f}" if base else "",
            f"{own['slowest']:,} to {own['fastest']:,}",
            str(own["cpuSecondsPerMillion"]),
            str(own["rssMiB"]),
            _verdict(name, own["isRight"]),
        )
        for name, own in sorted(contenders.items(), key=lambda item: -item[1]["eventsPerSecond"])
    ]


def _verdict(name: str, is_right: bool) -> str:
    if name.startswith("floor"):
        return "none"
    if not is_right:
        return "WRONG"
    return "right" if name == OURS else "right, repeated ids counted again"


def shown(found: dict[str, Any]) -> Table:
    """The table of a terminal."""
    table = Table(title=f"{found['events']:,} events, medians of {found['rounds']} rounds")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in {"contender", "counts"} else "right")
    for row in rows(found):
        table.add_row(*row)
    return table


def markdown(columns: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    """A table of Markdown, the first and the last column to the left."""
    rule = ["---", *["---:"] * (len(columns) - 2), "---"]
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, tuple(rule), *lines))
