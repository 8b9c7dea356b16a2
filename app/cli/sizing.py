"""`scorekeeper plan`: what a load needs. Offline arithmetic over measured costs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Final

import typer

from app.cli.numbers import finite
from app.cli.printing import AsJson, print_json, print_line, print_table
from app.domain.sizing import MEASURED, Load, Need
from app.domain.sizing import plan as needs

MOST: Final = 1e12
"""Of anything that is counted: far beyond any load, and small enough to compute with."""
MOST_DAYS: Final = 36_500
MOST_BYTES: Final = 2**30


def plan(
    events_per_second: Annotated[
        float, typer.Option(min=0, max=MOST, callback=finite, help="Events a second, at the peak.")
    ],
    match_share: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="The share of them that are conversions.")
    ] = 0.25,
    goals: Annotated[int, typer.Option(min=0, max=int(MOST), help="Goals in all projects.")] = 100,
    event_bytes: Annotated[int, typer.Option(min=1, max=MOST_BYTES, help="Bytes of an event in Kafka.")] = 300,
    window_days: Annotated[
        float, typer.Option(min=0, max=MOST_DAYS, callback=finite, help="The deduplication window.")
    ] = 7.0,
    history_days: Annotated[
        float, typer.Option(min=0, max=MOST_DAYS, callback=finite, help="Days with conversions, of each goal.")
    ] = 90.0,
    unique_subjects: Annotated[int, typer.Option(min=0, max=int(MOST), help="Subjects of unique goals, added up.")] = 0,
    worker_rate: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=MOST,
            callback=finite,
            help="Events a second that one worker counted on your machine, if measured.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many workers, partitions and Redis shards a load needs, and how much memory and network."""
    load = Load(events_per_second, match_share, goals, event_bytes, window_days, history_days, unique_subjects)
    costs = MEASURED
    if worker_rate is not None:
        each = 1e6 / worker_rate
        costs = replace(costs, cpu_seconds_per_million_matched=each, cpu_seconds_per_million_unmatched=each)
    need = needs(load, costs)
    if as_json:
        print_json({**_camel(asdict(need)), "remarks": list(need.remarks())})
        return
    print_table(("what", "#need"), _rows(need), empty="")
    for remark in need.remarks():
        print_line(f"note: {remark}")


def _rows(need: Need) -> list[tuple[str, str]]:
    return [
        ("CPU seconds of workers per million events", f"{need.cpu_seconds_per_million:.1f}"),
        ("workers (one core each, 60% busy)", f"{need.workers:,}"),
        ("partitions, at least", f"{need.partitions:,}"),
        ("Redis shards (one core each, 60% busy)", f"{need.shards:,}"),
        ("Redis memory", f"{need.redis_gib:,.1f} GiB"),
        ("from Kafka", f"{need.kafka_bytes_per_second / 2**20:,.1f} MiB/s"),
        ("to Redis", f"{need.redis_bytes_per_second / 2**20:,.1f} MiB/s"),
    ]


def _camel(names: dict[str, float]) -> dict[str, float]:
    return {first + "".join(map(str.title, rest)): n for name, n in names.items() for first, *rest in [name.split("_")]}
