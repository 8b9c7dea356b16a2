"""`scorekeeper status`: how far each partition is counted, what became of every event, which workers live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.cli.asking import schema_to_read, with_parts
from app.cli.printing import AsJson, print_json, print_line, print_table

if TYPE_CHECKING:
    from app.bootstrap import Parts

FATES = ("counted", "unmatched", "duplicate")


def status(as_json: AsJson = False) -> None:
    """Show partitions, projects and workers: `received = counted + unmatched + duplicate + rejected`, everywhere."""

    async def ask(parts: Parts) -> dict[str, Any]:
        from app.bootstrap import pipeline_status, read_spans

        await schema_to_read(parts)
        return await pipeline_status(parts, await read_spans(parts))

    found = with_parts(ask)
    if as_json:
        print_json(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    for show in (_show_partitions, _show_projects, _show_workers):
        show(found)
        print_line("")
    _show_the_rest(found)


def _show_partitions(found: dict[str, Any]) -> None:
    columns = ("topic", "partition", "checkpoint", "end", "lag", "received", *FATES)
    print_table(
        ("topic", *(f"#{name}" for name in columns[1:]), "#rejected"),
        ((*(row[name] for name in columns), sum(row["rejected"].values())) for row in found["partitions"]),
        empty="No partition was read yet.",
    )


def _show_projects(found: dict[str, Any]) -> None:
    columns = ("received", *FATES)
    print_table(
        ("project", *(f"#{name}" for name in columns), "#rejected", "reasons"),
        (
            (
                key,
                *(row[name] for name in columns),
                sum(row["rejected"].values()),
                ", ".join(f"{reason} {number}" for reason, number in row["rejected"].items()),
            )
            for key, row in found["projects"].items()
        ),
        empty="There is no project yet.",
    )


def _show_workers(found: dict[str, Any]) -> None:
    now = time.time() * 1000
    print_table(
        ("worker", "state", "#revision", "#partitions", "#events/s", "#silent (s)"),
        (
            (
                worker["id"],
                "alive" if worker["alive"] else "silent",
                worker["revision"],
                len(worker.get("partitions", ())),
                worker.get("rate"),
                round((now - worker["at"]) / 1000, 1),
            )
            for worker in found["workers"]
        ),
        empty="No worker was heard of.",
    )


def _show_the_rest(found: dict[str, Any]) -> None:
    print_line(
        f"catalog revision {found['revision']}; generation {found['generation']}; fresh as of {found['freshAsOf']}"
    )
    if found["rebuilding"]:
        print_line("the counters are being filled from the log; figures are too low until that is done")
    for loss in found["losses"]:
        print_line(
            f"LOST: {loss['number']} messages of {loss['topic']}/{loss['partition']}, from offset {loss['from']}"
        )
    if not all(row["balanced"] for row in (*found["partitions"], *found["projects"].values())):
        print_line("NOT BALANCED: received is not counted + unmatched + duplicate + rejected; run `scorekeeper verify`")
