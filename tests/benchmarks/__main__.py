"""`make bench`: a table of medians and ratios, and the same as bench.json."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import harness
from tests.benchmarks.harness import Parts, Result
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

BASE = "plain Faust agent"


def contenders(parts: Parts, database: str) -> dict[str, Callable[[], Result]]:
    """In the order in which they run; the slow ones last."""
    naive = parts.count.naive
    return {
        "floor: consume": lambda: harness.run_script(parts, "bare_aiokafka", None, BENCH_FLOOR="consume"),
        "floor: consume, decode": lambda: harness.run_script(parts, "bare_aiokafka", None, BENCH_FLOOR="decode"),
        "bare aiokafka loop": lambda: harness.run_script(parts, "bare_aiokafka", naive),
        "Scorekeeper": lambda: harness.run_scorekeeper(parts, database),
        BASE: lambda: harness.run_script(parts, "plain_faust", naive),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make bench ARGS=…")
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="50,000 events, one round: does everything work?")
    arguments.add_argument("--only", default="", help="names, comma separated")
    given = arguments.parse_args()
    events, rounds = (50_000, 1) if given.quick else (given.events, given.rounds)
    only = [name.strip() for name in given.only.split(",") if name.strip()]
    console = Console()
    with tempfile.TemporaryDirectory(prefix="scorekeeper-bench-") as folder:
        home = Path(folder)
        broker, server = start_any(home / "kafka"), RedisServer(home / "redis")
        try:
            database = f"sqlite:///{home / 'bench.db'}"
            harness.define(database)
            console.print(f"{broker.kind}; {harness.environment_note()}; writing {events:,} events …")
            parts = harness.publish(broker.bootstrap, home, server.url, events, seed=1)
            runs: dict[str, list[Result]] = {}
            for number in range(rounds):
                for name, run in contenders(parts, database).items():
                    if only and name not in only:
                        continue
                    console.print(f"round {number + 1} of {rounds}: {name} …")
                    runs.setdefault(name, []).append(run())
        finally:
            server.stop()
            broker.stop()
    console.print(table(runs))
    summary = {name: summarise(results) for name, results in runs.items()}
    Path("bench.json").write_text(json.dumps({"events": events, "rounds": rounds, "contenders": summary}, indent=2))


def summarise(results: list[Result]) -> dict[str, float | bool]:
    """Medians, and whether every run counted right."""
    rates = [result.events_per_second for result in results]
    return {
        "eventsPerSecond": round(statistics.median(rates)),
        "slowest": round(min(rates)),
        "fastest": round(max(rates)),
        "cpuSecondsPerMillion": round(statistics.median(result.cpu_seconds_per_million for result in results), 2),
        "rssMiB": round(max(result.rss_mib for result in results)),
        "isRight": all(result.is_right for result in results),
    }


def table(runs: dict[str, list[Result]]) -> Table:
    """Medians, and ratios to the plain Faust agent."""
    shown = Table(title="events a second, medians")
    for column in ("contender", "events/s", "ratio", "CPU s per million", "MiB", "counts"):
        shown.add_column(column, justify="left" if column in {"contender", "counts"} else "right")
    base = summarise(runs[BASE])["eventsPerSecond"] if BASE in runs else None
    for name, results in runs.items():
        found = summarise(results)
        ratio = f"{found['eventsPerSecond'] / base:.1f}" if base else ""
        right = "right" if found["isRight"] else "WRONG"
        if name.startswith("floor"):
            right = "none"
        elif name != "Scorekeeper" and found["isRight"]:
            right = "right, duplicates counted again"
        cells = (f"{found['eventsPerSecond']:,}", ratio, str(found["cpuSecondsPerMillion"]), str(found["rssMiB"]))
        shown.add_row(name, *cells, right)
    return shown


if __name__ == "__main__":
    main()
