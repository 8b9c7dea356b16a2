"""The table of goals: bar with the pace's marker, current, target, status, rate, freshness. It asks nobody."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

BAR_WIDTH = 24
SHORT_BAR_WIDTH = 10
RATE_SECONDS = 30.0
SHORTEST_SECONDS = 0.5
COLOURS = {"completed": "bold green", "on_track": "green", "at_risk": "yellow", "behind": "red"}

Goals = Sequence[dict[str, Any]]


class GoalTable:
    """Draws looks at the goals; remembers earlier looks, for the rates. `width` is the terminal's, in columns."""

    def __init__(self, width: int = 120) -> None:
        self._bar_width = BAR_WIDTH if width >= 110 else SHORT_BAR_WIDTH
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def render(self, goals: Goals | str) -> RenderableType:
        """One look as a table; a string is shown as it is."""
        if isinstance(goals, str):
            return Text(goals, style="yellow")
        rates = self._rates(goals)
        several = len({goal["projectKey"] for goal in goals}) > 1
        table = Table(box=None, header_style="dim", pad_edge=False)
        for name, justify in (
            *([("project", "left")] if several else []),
            ("goal", "left"),
            ("progress", "left"),
            ("current", "right"),
            ("target", "right"),
            ("status", "left"),
            ("rate", "right"),
            ("fresh", "right"),
        ):
            table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
        for goal in goals:
            status = _status(goal)
            table.add_row(
                *([Text(str(goal["projectKey"]))] if several else []),
                Text(name_of(goal)),
                bar(goal, self._bar_width),
                Text(amount(goal.get("current"))),
                Text(f"{amount(goal.get('target'))} {goal.get('unit') or ''}".rstrip()),
                Text(status.replace("_", " "), style=COLOURS.get(status, "dim")),
                Text(_rate(rates.get(goal["id"]))),
                Text(freshness(goal.get("freshAsOf"))),
            )
        return table

    def lines(self, goals: Goals | str) -> list[str]:
        """One look as plain lines."""
        if isinstance(goals, str):
            return [goals]
        rates = self._rates(goals)
        return [
            f"{name_of(goal)}: {amount(goal.get('current'))} of {amount(goal.get('target'))} "
            f"{goal.get('unit') or ''}".rstrip()
            + f", {_status(goal).replace('_', ' ')}, {_rate(rates.get(goal['id']))}"
            for goal in goals
        ]

    def _rates(self, goals: Goals) -> dict[str, float]:
        """Per goal, its growth a second since the first look of the last half minute that knew it."""
        now = time.monotonic()
        present = {
            goal["id"]: float(goal["current"])
            for goal in goals
            if goal.get("current") is not None and goal.get("aggregation") != "rate"
        }
        self._looks.append((now, present))
        while now - self._looks[0][0] > RATE_SECONDS:
            self._looks.popleft()
        rates = {}
        for ident, value in present.items():
            then, before = next((at, look[ident]) for at, look in self._looks if ident in look)
            if now - then >= SHORTEST_SECONDS:
                rates[ident] = (value - before) / (now - then)
        return rates


def name_of(goal: dict[str, Any]) -> str:
    """What a person calls the goal."""
    return str(goal.get("description") or goal["metric"])[:40]


def bar(goal: dict[str, Any], width: int = BAR_WIDTH) -> Text:
    """How far the goal is, with a marker where the pace expects it to be by now."""
    done = _share(goal.get("progress"))
    expected = _expected_share(goal)
    filled = round(done * width)
    cells = ["█" if index < filled else "░" for index in range(width)]
    text = Text("".join(cells), style=COLOURS.get(str(goal.get("status")), "dim"))
    if expected is not None:
        place = min(width - 1, int(expected * width))
        text.plain = text.plain[:place] + "│" + text.plain[place + 1 :]
        text.stylize("bold white", place, place + 1)
    text.append(f" {done * 100:4.0f}%")
    return text


def amount(value: float | None) -> str:
    """A number with separators, at most two decimals."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def freshness(moment: str | None) -> str:
    """How long ago the figure was complete."""
    if not moment:
        return "–"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def _share(value: float | None) -> float:
    return min(1.0, max(0.0, float(value or 0)))


def _expected_share(goal: dict[str, Any]) -> float | None:
    expected, target = goal.get("expected"), goal.get("target")
    if expected is None or not target:
        return None
    start = float(goal.get("startValue") or 0)
    return _share((float(expected) - start) / (float(target) - start)) if target != start else None


def _rate(per_second: float | None) -> str:
    if per_second is None:
        return "–"
    return f"{per_second:,.1f}/s" if abs(per_second) >= 0.1 or not per_second else f"{per_second * 60:,.1f}/min"


def _status(goal: Mapping[str, Any]) -> str:
    return str(goal.get("status") or ("backfilling" if goal.get("backfilling") else "rebuilding"))
