"""`scorekeeper status`: how far each partition is counted, what became of every event, which workers live."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from app.cli.asking import schema_ready, with_parts
from app.cli.printing import AsJson, print_json, print_line, print_table
from app.errors import NotFound, StoreUnavailable

if TYPE_CHECKING:
    from app.bootstrap import Parts

FATES = ("counted", "unmatched", "duplicate")


def status(as_json: AsJson = False) -> None:
    """Show partitions, projects and workers: `received = counted + unmatched + duplicate + rejected`, everywhere."""

    async def ask(parts: Parts) -> dict[str, Any]:
        await schema_ready(parts)
        return await read_status(parts)

    found = with_parts(ask)
    if as_json:
        print_json(found)
        return
    _show(found)


async def read_status(parts: Parts) -> dict[str, Any]:
    """The pipeline's state, with the ends of the log as the brokers know them. Raises StoreUnavailable."""
    from app.bootstrap import pipeline_status

    found = await pipeline_status(parts)
    log = await _log(parts)
    if log is not None:
        known = {(row["topic"], row["partition"], row["incarnation"]): row for row in found["partitions"]}
        found["partitions"] = [
            {**_row(position, known), "first": first, "end": end, "lag": _lag(_row(position, known), first, end)}
            for position, (first, end) in log
        ]
    projects = await asyncio.to_thread(parts.definitions.projects)
    for project in projects:
        found["projects"].setdefault(project.key, {"received": 0, **dict.fromkeys(FATES, 0), "rejected": {}})
    for row in (*found["partitions"], *found["projects"].values()):
        row["balanced"] = row["received"] == sum(row[fate] for fate in FATES) + sum(row["rejected"].values())
    revision, _ = await asyncio.to_thread(parts.definitions.revision)
    return {**found, "revision": revision, "lag": sum(row["lag"] for row in found["partitions"])}


async def _log(parts: Parts) -> list[tuple[Any, tuple[int, int]]] | None:
    """Per position its first offset and its end; None when Kafka does not answer or a topic is missing."""
    try:
        described = await asyncio.to_thread(parts.topics.describe, parts.settings.topics)
        positions = [position for topic in described for position in topic.positions()]
        ends = await asyncio.to_thread(parts.topics.ends, positions)
    except (StoreUnavailable, NotFound):
        return None
    return [(position, ends[position]) for position in positions]


def _row(position: Any, known: dict[tuple[str, int, str], dict[str, Any]]) -> dict[str, Any]:
    found = known.get((position.topic, position.partition, position.incarnation))
    if found is not None:
        return found
    return {
        "topic": position.topic,
        "partition": position.partition,
        "incarnation": position.incarnation,
        "checkpoint": 0,
        "end": 0,
        "lag": 0,
        "freshAsOf": None,
        "silentSeconds": None,
        "received": 0,
        **dict.fromkeys(FATES, 0),
        "rejected": {},
    }


def _lag(row: dict[str, Any], first: int, end: int) -> int:
    return max(0, end - max(int(row["checkpoint"]), first))


def _show(found: dict[str, Any]) -> None:
    print_table(
        (
            "topic",
            "#partition",
            "#checkpoint",
            "#end",
            "#lag",
            "#received",
            "#counted",
            "#unmatched",
            "#duplicate",
            "#rejected",
        ),
        (
            (
                *(row[name] for name in ("topic", "partition", "checkpoint", "end", "lag", "received", *FATES)),
                sum(row["rejected"].values()),
            )
            for row in found["partitions"]
        ),
        empty="No partition was read yet.",
    )
    print_line("")
    print_table(
        ("project", "#received", "#counted", "#unmatched", "#duplicate", "#rejected", "reasons"),
        (
            (
                key,
                *(row[name] for name in ("received", *FATES)),
                sum(row["rejected"].values()),
                ", ".join(f"{reason} {number}" for reason, number in row["rejected"].items()),
            )
            for key, row in found["projects"].items()
        ),
        empty="There is no project yet.",
    )
    print_line("")
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
    print_line("")
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
