"""`scorekeeper experiments`: what was seen, and how an experiment's variants compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.asking import ProjectOption, one_project, schema_to_read, with_parts
from app.cli.printing import AsJson, print_json, print_line, print_table, tell

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.experiments import KnownExperiments


def experiments(
    key: Annotated[str | None, typer.Argument(help="Compare the variants of this one.", show_default=False)] = None,
    project: ProjectOption = None,
    as_json: AsJson = False,
) -> None:
    """List the experiments that events named; or, of one, how its variants compare per conversion goal."""
    if key is None:
        known = with_parts(lambda parts: _list(parts, project))
        _print_all(known, as_json=as_json)
        return
    found = with_parts(lambda parts: _get(parts, project, key))
    if as_json:
        print_json(found)
    else:
        _print_one(found)


async def _list(parts: Parts, project: str | None) -> KnownExperiments:
    await schema_to_read(parts)
    return await parts.experiments.list_all(await one_project(parts, project))


async def _get(parts: Parts, project: str | None, key: str) -> dict[str, Any]:
    await schema_to_read(parts)
    return await parts.experiments.compare(await one_project(parts, project), key)


def _print_all(known: KnownExperiments, *, as_json: bool) -> None:
    from app.experiments import LIMIT_REACHED

    if as_json:
        print_json(known.items)
    else:
        rows = [
            (one["key"], ", ".join(v["variant"] for v in one["variants"]), one["exposed"], one["crossed"])
            for one in known.items
        ]
        print_table(
            ["Experiment", "Variants", "#Exposed", "#Crossed"], rows, empty="No event has named an experiment yet"
        )
    if known.is_full:
        tell(LIMIT_REACHED)


def _print_one(found: dict[str, Any]) -> None:
    rows = [
        (
            goal["name"] or f"{goal['id']} (deleted)",
            row["variant"],
            row["exposed"],
            row["converted"],
            row["conversions"],
            row["value"],
            _percent(row["rate"]),
            _span(row["interval"]),
            _percent(row["lift"], sign="+"),
            _span(row["liftInterval"], sign="+"),
        )
        for goal in found["conversionGoals"]
        for row in goal["variants"]
    ]
    columns = ["Conversion goal", "Variant", "#Exposed", "#Converted", "#Conversions", "#Value", "#Rate", "#95%"]
    print_table([*columns, "#Lift", "#95%"], rows, empty="The project has no conversion goal yet")
    if found["crossed"]:
        print_line(f"{found['crossed']} subjects saw several variants; they count in the one they saw first")


def _percent(share: float | None, sign: str = "") -> str:
    return "" if share is None else f"{100 * share:{sign}.2f} %"


def _span(interval: tuple[float, float] | None, sign: str = "") -> str:
    return "" if interval is None else f"{100 * interval[0]:{sign}.2f} to {100 * interval[1]:{sign}.2f}"
