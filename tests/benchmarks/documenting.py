"""Puts the last runs' tables and plots into the docs: between marks of docs/performance.md, into docs/benchmark/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.benchmarks import plots, table

PAGE = Path("docs/performance.md")
PICTURES = Path("docs/benchmark")


def write_all() -> None:
    """Of each result that is there; the others stay as they are."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    pages = {
        "bench": _comparison,
        "bench-growth": _growth,
        "bench-latency": _latency,
        "bench-preview": _preview,
        "bench-recounts": _recounts,
        "bench-api": _api,
    }
    for name, write in pages.items():
        file = Path(f"{name}.json")
        if file.exists():
            _replace(name, write(json.loads(file.read_text())))


def _replace(mark: str, text: str) -> None:
    page = PAGE.read_text()
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"{PAGE} has no place for {mark}"
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _picture(name: str, svg: str, title: str) -> str:
    (PICTURES / f"{name}.svg").write_text(svg)
    return f"![{title}](benchmark/{name}.svg)"


def _comparison(found: dict[str, Any]) -> str:
    title = "Events a second"
    rates = [(name, own["eventsPerSecond"]) for name, own in found["contenders"].items()]
    svg = plots.bars(title, sorted(rates, key=lambda row: -row[1]), table.OURS)
    where = f"{found['events']:,} events, medians of {found['rounds']} rounds; {found['machine']}."
    return "\n\n".join([where, table.markdown(table.COLUMNS, table.rows(found)), _picture("contenders", svg, title)])


def _growth(found: dict[str, Any]) -> str:
    folds = found["foldCpuMicroseconds"]
    title = "CPU microseconds an event, decoding to packed increments"
    svg = plots.lines(title, "how many", {name: [(x, y) for x, y in own] for name, own in folds.items()})
    columns = ("what grows", "number", "CPU µs an event", "times the first")
    lines = [(name, f"{x:,}", f"{y:.2f}", f"{y / own[0][1]:.2f}") for name, own in folds.items() for x, y in own]
    workers = found["workers"]
    more = ("deployment", "events/s", "CPU s per million", "MiB", "Redis CPU s per million conversions", "counts")
    verdicts = [
        (
            name,
            f"{own['eventsPerSecond']:,}",
            str(own["cpuSecondsPerMillion"]),
            str(own["rssMiB"]),
            str(own["redisCpuSecondsPerMillion"] or ""),
            _verdict(name, own),
        )
        for name, own in workers.items()
    ]
    rates = plots.bars("Events a second by deployment", [(n, own["eventsPerSecond"]) for n, own in workers.items()])
    return "\n\n".join(
        [
            table.markdown(columns, lines),
            _picture("growth", svg, title),
            table.markdown(more, verdicts),
            _picture("deployments", rates, "Events a second by deployment"),
        ]
    )


def _verdict(name: str, own: dict[str, Any]) -> str:
    if "not compared" in name:
        return "not compared"
    return "right" if own["isRight"] else "WRONG"


def _latency(found: dict[str, Any]) -> str:
    columns = ("load", "where", "p50 ms", "p95 ms", "p99 ms")
    lines = [
        (rate, place, str(own["p50"]), str(own["p95"]), str(own["p99"]))
        for rate, places in found.items()
        for place, own in places.items()
    ]
    return table.markdown(columns, lines)


def _recounts(found: dict[str, Any]) -> str:
    columns = ("what", "events/s", "of the live rate", "CPU s per million")
    lines = [
        (name, f"{own['eventsPerSecond']:,}", f"{own['ofLive']:.2f}", str(own["cpuSecondsPerMillion"]))
        for name, own in found["rates"].items()
    ]
    where = f"{found['events']:,} events, medians of {found['rounds']} rounds."
    return "\n\n".join([where, table.markdown(columns, lines)])


def _preview(found: dict[str, Any]) -> str:
    columns = ("definition", "previews", "events looked at, at least", "first ms", "p50 ms", "most ms")
    lines = [
        (name, *(f"{own[column]:,}" for column in ("asked", "seen", "first", "p50", "max")))
        for name, own in found["previews"].items()
    ]
    verdict = "right" if found["isRight"] else "WRONG"
    rates = (
        f"The worker counts {found['alone']:,} events/s alone, {found['beside']:,} beside the previews, and "
        f"{found['burning']:,} beside a process that only burns {found['apiShare']:.2f} of a core, as the API does for "
        f"them (medians; counts: {verdict}); {found['machine']}."
    )
    return f"{rates}\n\n{table.markdown(columns, lines)}"


def _api(found: dict[str, Any]) -> str:
    columns = ("what is asked", "answers", "p50 ms", "p95 ms", "p99 ms", "events/s counted meanwhile")
    lines = [
        (name, f"{own['answers']:,}", str(own["p50"]), str(own["p95"]), str(own["p99"]), f"{own['eventsPerSecond']:,}")
        for name, own in found.items()
    ]
    floods = [
        f"{name}: {own['flood']['perSecond']:,} wrong keys were answered a second."
        for name, own in found.items()
        if "flood" in own
    ]
    return "\n\n".join([table.markdown(columns, lines), *floods])
