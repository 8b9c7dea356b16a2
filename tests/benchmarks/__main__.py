"""`make bench`: a table of medians and ratios, and the same as bench.json; or one of the other measurements."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.benchmarks import documenting, growth, harness, latency, previews, recounts, serving, table
from tests.benchmarks.harness import Parts, Result
from tests.servers.brokers import start_any
from tests.servers.redises import RedisServer

SLOW_SHARE = 0.15
"""How much of the topic a contender gets (one of its own, counted apart) that would take minutes over all of it."""
CONTENDERS_PYTHON = Path(".venv-bench/bin/python")

Run = Callable[[Parts, str], Result]


def script(module: str, **more: str) -> Run:
    """A contender that counts repeated ids again, as all without a memory of ids must."""
    return lambda parts, _: harness.run_script(parts, module, parts.count.naive, **more)


def floor(module: str, kind: str) -> Run:
    return lambda parts, _: harness.run_script(parts, module, None, BENCH_FLOOR=kind)


FAST: dict[str, Run] = {
    "floor: consume (aiokafka)": floor("bare_aiokafka", "consume"),
    "floor: consume, decode (aiokafka)": floor("bare_aiokafka", "decode"),
    "floor: consume (confluent)": floor("bare_confluent", "consume"),
    "floor: consume, decode (confluent)": floor("bare_confluent", "decode"),
    "bare confluent-kafka loop": script("bare_confluent"),
    "bare aiokafka loop": script("bare_aiokafka"),
    table.OURS: harness.run_scorekeeper,
    "Bytewax": script("bytewax_flow"),
    "Quix Streams, batching sink": script("quix_streams", BENCH_SINK="1"),
}
SLOW: dict[str, Run] = {
    "kafka-python loop": script("kafka_python"),
    "Quix Streams": script("quix_streams"),
    "Faust, take and a pipeline": script("plain_faust", BENCH_TAKE="1"),
    table.BASE: script("plain_faust"),
}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make bench ARGS=…")
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="50,000 events, one round: does everything work?")
    arguments.add_argument("--only", default="", help="names, comma separated")
    arguments.add_argument("--growth", action="store_true", help="how cost grows with definitions, projects, goals, …")
    arguments.add_argument("--latency", action="store_true", help="published to counted, shown and streamed")
    arguments.add_argument("--recounts", action="store_true", help="verify and rebuild beside the live counting")
    arguments.add_argument("--preview", action="store_true", help="previews beside a worker at full speed")
    arguments.add_argument("--api", action="store_true", help="lists of goals beside counting, and under a flood")
    arguments.add_argument("--docs", action="store_true", help="write the last runs' tables and plots into the docs")
    given = arguments.parse_args()
    if given.docs:
        documenting.write_all()
    elif given.growth:
        growth.main(quick=given.quick)
    elif given.preview:
        previews.main(quick=given.quick)
    elif given.latency:
        latency.main(quick=given.quick)
    elif given.recounts:
        recounts.main(quick=given.quick)
    elif given.api:
        serving.main(quick=given.quick)
    else:
        events, rounds = (50_000, 1) if given.quick else (given.events, given.rounds)
        compare(events, rounds, {name.strip() for name in given.only.split(",") if name.strip()})


def compare(events: int, rounds: int, only: set[str]) -> None:
    """All contenders in turn, `rounds` times."""
    console, python = Console(), str(CONTENDERS_PYTHON.absolute())
    runs: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory(prefix="scorekeeper-bench-") as folder:
        home = Path(folder)
        broker, server = start_any(home / "kafka"), RedisServer(home / "redis")
        try:
            database = f"sqlite:///{home / 'bench.db'}"
            harness.define(database)
            console.print(f"{broker.kind}; {harness.environment_note()}; writing {events:,} events …")
            whole = harness.publish(broker.bootstrap, home, server.url, events, seed=1, python=python)
            slow_events = max(20_000, int(events * SLOW_SHARE))
            part = harness.publish(broker.bootstrap, home, server.url, slow_events, seed=2, python=python)
            planned = [(name, run, whole) for name, run in FAST.items()]
            planned += [(name, run, part) for name, run in SLOW.items()]
            for number in range(rounds):
                for name, run, parts in planned:
                    if only and name not in only:
                        continue
                    console.print(f"round {number + 1} of {rounds}: {name} …")
                    runs.setdefault(name, []).append(run(parts, database))
        finally:
            server.stop()
            broker.stop()
    found = {
        "events": events,
        "rounds": rounds,
        "machine": f"{broker.kind}, {harness.environment_note()}",
        "contenders": {name: table.summarise(results) for name, results in runs.items()},
    }
    console.print(table.shown(found))
    Path("bench.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
