"""`scorekeeper goals` and `scorekeeper watch`: where each goal stands, once or as a live table."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from app.cli.asking import ProjectOption, chosen_projects, schema_to_read, with_parts
from app.cli.numbers import finite
from app.cli.printing import AsJson, fail, print_json, print_line
from app.cli.table import GoalTable
from app.errors import StoreUnavailable

if TYPE_CHECKING:
    from app.bootstrap import Parts, PipelineReader

WIDE = 4000
"""A pipe has no width: its reader wants whole values."""


def goals(
    what: Annotated[
        str, typer.Argument(metavar="[list]", help="`list` is all there is, and may be left out.")
    ] = "list",
    project: ProjectOption = None,
    as_json: AsJson = False,
) -> None:
    """List the goals with current value, target and status."""
    if what != "list":
        fail(f"{what!r} is not something that goals can do; use `scorekeeper goals list`", 2)

    async def ask(parts: Parts) -> list[dict[str, Any]]:
        await schema_to_read(parts)
        return await list_goals(parts, project)

    found = with_parts(ask)
    if as_json:
        print_json(found)
    else:
        _draw(found)


def watch(
    project: ProjectOption = None,
    once: Annotated[bool, typer.Option("--once", help="Show the table once and end.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, callback=finite, help="Seconds between two looks.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Show the goals as a live table, until Ctrl-C. With --json, one array a look."""

    async def look(parts: Parts) -> None:
        await schema_to_read(parts)
        if once:
            await _show_once(parts, project, as_json=as_json)
        elif as_json:
            await _print_for_ever(parts, project, interval)
        else:
            await show_live(parts, project, interval)

    with_parts(look)


async def list_goals(parts: Parts, project: str | None) -> list[dict[str, Any]]:
    """The goals of the project, or of all, as the API lists them, each with its `projectKey`."""
    now = int(time.time() * 1000)
    found: list[dict[str, Any]] = []
    for key in await chosen_projects(parts, project):
        report = await parts.reporter.list_goals(key, now)
        found += [{"projectKey": key, **item} for item in report.items]
    return found


async def _show_once(parts: Parts, project: str | None, *, as_json: bool) -> None:
    from app.bootstrap import PipelineReader

    found = await list_goals(parts, project)
    if as_json:
        print_json(found)
    else:
        _draw(found, await _pipeline(PipelineReader(parts)))


def _draw(found: list[dict[str, Any]], pipeline: Mapping[str, Any] | None = None) -> None:
    is_pipe = not sys.stdout.isatty()
    console = Console(width=WIDE if is_pipe else None, highlight=False)
    console.print(GoalTable(console.width, shortens=not is_pipe).render(found, pipeline))


async def show_live(parts: Parts, project: str | None, interval_seconds: float) -> None:
    """A table that moves; where stdout is no terminal, a plain line when a goal gets on. Ends only with the process."""
    from app.bootstrap import PipelineReader

    console = Console(highlight=False)
    table = GoalTable(console.width)
    if not console.is_terminal:
        while True:
            for line in table.new_lines(await _look(parts, project)):
                print_line(line)
            await asyncio.sleep(max(interval_seconds, 5.0))
    reader = PipelineReader(parts)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            # The terminal may have been made wider or narrower.
            table.width, table.height = console.width, console.height
            found = await _look(parts, project)
            live.update(table.render(found, await _pipeline(reader)), refresh=True)
            await asyncio.sleep(interval_seconds)


async def _pipeline(reader: PipelineReader) -> dict[str, Any] | None:
    try:
        return await reader.read()
    except StoreUnavailable:
        return None


async def _look(parts: Parts, project: str | None) -> list[dict[str, Any]] | str:
    try:
        return await list_goals(parts, project)
    except StoreUnavailable as error:
        return f"waiting: {error}"


async def _print_for_ever(parts: Parts, project: str | None, interval_seconds: float) -> None:
    while True:
        found = await _look(parts, project)
        print_json(found if isinstance(found, list) else {"error": found})
        sys.stdout.flush()
        await asyncio.sleep(interval_seconds)
