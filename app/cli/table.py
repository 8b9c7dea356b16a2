"""The table of goals: bar with the pace's marker, current, target, status, rate, freshness. It asks nobody.

The most in need stand first. What does not fit is left out by its worth: on a narrow terminal a goal is its name, bar
and status; on a wider one also its value, then its target; on a wide one the gap to the pace and where it leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.cli.printing import plain
from app.domain.figures import exact, reached, rounded

BAR_WIDTH = 24
HOUR_SECONDS = 3600.0
SHORTEST_SECONDS = 30.0
LONGEST_NAME = 200
LEGIBLE_NAME = 14
"""So much of a name is worth more than a figure beside it."""
LONGEST_UNIT = 20
LONGEST_PROJECT = 16
GAP = 2
COLOURS = {"completed": "bold green", "on_track": "green", "at_risk": "yellow", "behind": "red"}
SIGNS = {"completed": "✓", "on_track": "●", "at_risk": "▲", "behind": "▼"}
NEED = ("behind", "at_risk", "on_track", "completed")

Goals = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    from_width: int
    """Shown on terminals of at least so many columns, where the names stay legible; what comes last gives way first."""
    cell: Callable[[_Row], Text]
    justify: Literal["left", "right"] = "right"
    takes_rest: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    goal: dict[str, Any]
    bar_width: int
    now: datetime
    longest_unit: int | None


class GoalTable:
    """Draws looks at the goals. `width`, `height`: the terminal's. `shortens`: long project keys and units give way."""

    def __init__(self, width: int = 120, height: int | None = None, *, shortens: bool = True) -> None:
        self._shortens = shortens
        self._said: dict[str, str] = {}
        self.width = width
        self.height = height

    def render(self, goals: Goals | str, pipeline: Mapping[str, Any] | None = None) -> RenderableType:
        """One look as a table, below a line on the pipeline's state; a string is shown as it is."""
        if isinstance(goals, str):
            return Text(goals, style="yellow")
        ordered = sorted(goals, key=need)
        most = len(ordered) if self.height is None else max(1, self.height - 4)
        now = datetime.now(UTC)
        unit = LONGEST_UNIT if self._shortens else None
        rows = [_Row(goal, self._bar_width(), now, unit) for goal in ordered[:most]]
        keys = {goal["projectKey"]: plain(str(goal["projectKey"])) for goal in goals}
        several = len(keys) > 1
        # Each once: a long list has thousands.
        cells = {
            column.name: [column.cell(row) for row in rows] for column in COLUMNS if self.width >= column.from_width
        }
        columns = self._fitting(
            cells, beside=GAP + min(LONGEST_PROJECT, max(map(cell_len, ("project", *keys.values())))) if several else 0
        )
        table = Table(box=None, header_style="dim", pad_edge=False, expand=self.width < 160)
        if several:
            longest = LONGEST_PROJECT if self._shortens else None
            table.add_column("project", no_wrap=True, overflow="ellipsis", max_width=longest)
        for column in columns:
            # Only the name gives way; a figure that is cut off would be another figure.
            limits: dict[str, Any] = {"ratio": 1, "min_width": 8} if column.takes_rest else {}
            table.add_column(column.name, justify=column.justify, no_wrap=True, overflow="ellipsis", **limits)
        for number, row in enumerate(rows):
            project = [Text(keys[row.goal["projectKey"]])] if several else []
            table.add_row(*project, *(cells[column.name][number] for column in columns))
        parts: list[RenderableType] = [] if pipeline is None else [summary(pipeline)]
        parts.append(table if goals else Text("There is no goal yet: POST /api/goals, or the dashboard, creates one"))
        if len(ordered) > most:
            parts.append(Text(f"… and {len(ordered) - most} more, less in need", style="dim"))
        return Group(*parts)

    def lines(self, goals: Goals | str) -> list[str]:
        """One look as plain lines."""
        if isinstance(goals, str):
            return [goals]
        now = datetime.now(UTC)
        return [
            f"{name_of(goal)}: {_current(goal)} of {_target(goal)}"
            + f", {_status_of(goal).replace('_', ' ')}, {rate(goal, now)}"
            for goal in goals
        ]

    def new_lines(self, goals: Goals | str) -> list[str]:
        """The lines of goals whose status or tenth of the way is another one than at the last look: a file keeps all
        that is written to it."""
        if isinstance(goals, str):
            news = {"": goals}
        else:
            news = {str(goal["id"]): f"{_status_of(goal)} {int(10 * _share(goal.get('progress')))}" for goal in goals}
        lines = zip(news.items(), self.lines(goals), strict=True)
        found = [line for (key, said), line in lines if self._said.get(key) != said]
        self._said = news
        return found

    def _fitting(self, cells: Mapping[str, Sequence[Text]], *, beside: int) -> list[_Column]:
        """The columns that leave the names room, where `beside` of the width is taken already."""
        columns = [column for column in COLUMNS if column.name in cells]
        widths = {name: max(cell_len(name), *(cell.cell_len for cell in own), 0) for name, own in cells.items()}
        name = next(column.name for column in columns if column.takes_rest)
        widths[name] = min(widths[name], LEGIBLE_NAME)
        while beside + sum(widths.values()) + GAP * (len(widths) - 1) > self.width:
            last = max(columns, key=lambda column: column.from_width)
            if last.from_width == 0:
                break
            columns.remove(last)
            del widths[last.name]
        return columns

    def _bar_width(self) -> int:
        return 10 if self.width < 80 else 14 if self.width < 110 else BAR_WIDTH if self.width < 180 else 40


def need(goal: Mapping[str, Any]) -> tuple[int, str, str]:
    """Sorts the goals that need somebody most to the front; among equals the one that ends first."""
    status = goal.get("status")
    return NEED.index(status) if status in NEED else len(NEED), str(goal.get("endsAt") or ""), str(goal["id"])


def summary(pipeline: Mapping[str, Any]) -> Text:
    """The pipeline's state in a line: how fresh, how far behind, who counts."""
    alive = sum(1 for worker in pipeline["workers"] if worker["alive"])
    rate = sum(worker.get("rate") or 0 for worker in pipeline["workers"] if worker["alive"])
    text = Text()
    fresh = pipeline["freshAsOf"]
    text.append(f"complete up to {_clock(fresh)} ({freshness(fresh)} ago)" if fresh else "nothing was read yet")
    text.append(f" · lag {pipeline['lag']:,}", style="yellow" if pipeline["lag"] > 1_000 else "")
    workers = f"{alive} worker{'' if alive == 1 else 's'}, {rate:,.0f}/s" if alive else "no worker counts"
    text.append(f" · {workers}", style="" if alive else "bold red")
    if pipeline["rebuilding"]:
        text.append(" · counting the log again", style="yellow")
    if pipeline["losses"]:
        text.append(f" · {sum(loss['number'] for loss in pipeline['losses']):,} messages lost", style="bold red")
    return text


def name_of(goal: Mapping[str, Any]) -> str:
    """What a person calls the goal."""
    return plain(str(goal.get("description") or goal["metric"])[:LONGEST_NAME])


def bar(goal: dict[str, Any], width: int = BAR_WIDTH) -> Text:
    """How far the goal is, with a marker where the pace expects it to be by now."""
    done = _share(goal.get("progress"))
    expected = _expected_share(goal)
    filled = round(done * width)
    cells = ["█" if index < filled else "░" for index in range(width)]
    colour = COLOURS.get(str(goal.get("status")), "dim")
    text = Text("".join(cells), style=colour)
    if expected is not None:
        place = min(width - 1, int(expected * width))
        text.plain = text.plain[:place] + "│" + text.plain[place + 1 :]
        # On the fill's colour where it lies over the fill: a gap in the bar would read as its end.
        ground = colour.removeprefix("bold ")
        text.stylize(f"bold white on {ground}" if place < filled and ground != "dim" else "bold", place, place + 1)
    text.append(f" {done * 100:4.0f}%")
    return text


def freshness(moment: str | None, now: datetime | None = None) -> str:
    """How long ago the figure was complete."""
    if not moment:
        return "–"
    return _span(max(0.0, ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def rate(goal: Mapping[str, Any], now: datetime) -> str:
    """Conversions a unit of time over the last hour, or since the goal began: as the page says it."""
    recent = goal.get("recent")
    if not recent or goal.get("current") is None:
        return "–"
    gone = now.timestamp() % HOUR_SECONDS / HOUR_SECONDS
    last = recent[-1] + (recent[-2] if len(recent) > 1 else 0) * (1 - gone)
    begun = datetime.fromisoformat(goal["startsAt"]).timestamp() if goal.get("startsAt") else 0.0
    seconds = min(HOUR_SECONDS, max(SHORTEST_SECONDS, now.timestamp() - begun))
    hourly = last * HOUR_SECONDS / seconds
    if hourly >= 7200:
        return f"{_tenths(hourly / 3600)}/s"
    return f"{_tenths(hourly / 60)}/min" if hourly >= 120 else f"{round(hourly):,}/h"


def _tenths(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


def outlook(goal: Mapping[str, Any], now: datetime) -> str:
    """Where the goal leads, in words."""
    if goal.get("current") is None:
        if goal.get("backfilling"):
            return "what the log holds is being counted"
        return "being counted again" if goal.get("rebuilding") else "waiting for the first event"
    ends = datetime.fromisoformat(str(goal["endsAt"])) if goal.get("endsAt") else None
    if ends is not None and ends < now:
        return (
            "ended"
            if goal.get("status") == "completed"
            else f"missed by {reached(goal, abs(goal['target'] - goal['current']))}"
        )
    if goal.get("projectedAt") and ends is not None and goal.get("direction") != "at_most":
        at = datetime.fromisoformat(str(goal["projectedAt"]))
        here, today = at.astimezone(), now.astimezone().date()
        when = f"at {here:%H:%M}" if here.date() == today else f"on {here.day} {here:%b}"
        early = (ends - at).total_seconds()
        return f"reaches it {when}, {_span(abs(early))} {'early' if early >= 0 else 'late'}"
    if goal.get("projected") is not None:
        return f"heads for {rounded(goal['projected'])}"
    return "" if goal.get("lastConversionAt") else "waiting for the first event"


def _share(value: float | None) -> float:
    return min(1.0, max(0.0, float(value or 0)))


def _expected_share(goal: Mapping[str, Any]) -> float | None:
    expected, target = goal.get("expected"), goal.get("target")
    if expected is None or not target:
        return None
    start = float(goal.get("startValue") or 0)
    return _share((float(expected) - start) / (float(target) - start)) if target != start else None


def _gap(goal: Mapping[str, Any]) -> str:
    start = float(goal.get("startValue") or 0) if goal.get("aggregation") != "rate" else 0.0
    wanted = float(goal.get("expected") or 0) - start
    if goal.get("current") is None or not wanted or (_expected_share(goal) or 0) < 0.05:
        return "–"
    return f"{((float(goal['current']) - start) / wanted - 1) * 100:+.0f}%".replace("-", "−")


def _current(goal: Mapping[str, Any]) -> str:
    return "–" if goal.get("current") is None else reached(goal, goal["current"])


def _target(goal: Mapping[str, Any], longest_unit: int | None = None) -> str:
    unit = plain(str(goal.get("unit") or ""))
    if longest_unit is not None and len(unit) > longest_unit:
        unit = unit[: longest_unit - 1] + "…"
    target = "–" if goal.get("target") is None else exact(goal["target"])
    return f"{target} {unit}".rstrip()


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")


def _status_of(goal: Mapping[str, Any]) -> str:
    return str(goal.get("status") or ("backfilling" if goal.get("backfilling") else "rebuilding"))


def _status(goal: Mapping[str, Any], *, word: bool) -> Text:
    status = _status_of(goal)
    said = status.replace("_", " ") + ("*" if goal.get("statusSource") == "manual" else "")
    return Text(said if word else SIGNS.get(status, "◌"), style=COLOURS.get(status, "dim"))


COLUMNS = (
    _Column("", 0, lambda row: _status(row.goal, word=False), "left"),
    _Column("goal", 0, lambda row: Text(name_of(row.goal)), "left", takes_rest=True),
    _Column("progress", 0, lambda row: bar(row.goal, row.bar_width), "left"),
    _Column("current", 44, lambda row: Text(_current(row.goal))),
    _Column("target", 76, lambda row: Text(_target(row.goal, row.longest_unit))),
    _Column("status", 0, lambda row: _status(row.goal, word=True), "left"),
    _Column("to pace", 130, lambda row: Text(_gap(row.goal))),
    _Column("rate", 90, lambda row: Text(rate(row.goal, row.now))),
    _Column("last", 150, lambda row: Text(freshness(row.goal.get("lastConversionAt"), row.now))),
    _Column("fresh", 110, lambda row: Text(freshness(row.goal.get("freshAsOf"), row.now))),
    _Column("outlook", 140, lambda row: Text(outlook(row.goal, row.now)), "left"),
)
