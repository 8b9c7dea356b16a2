"""`scorekeeper topics`: the topics that are counted, as their broker knows them; and creating missing ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from app.cli.asking import with_parts
from app.cli.printing import AsJson, print_json, print_line, print_table
from app.errors import NotFound
from config.settings import DAY_MS

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.streams.topics import Topics
    from config.settings import Settings

DEAD_LETTER_BYTES = 2 << 20

topics = typer.Typer(help="Show the topics, or create those that are missing.", no_args_is_help=True)


def create_missing(at: Topics, settings: Settings) -> list[str]:
    """Create the topics of the settings that do not exist; returns their names. Blocking; raises StoreUnavailable.

    The broker stamps messages itself (LogAppendTime), so that a producer's clock cannot move a count.
    """
    retention = {"retention.ms": str(int(settings.retention_days * DAY_MS))}
    wanted = {name: {**retention, "message.timestamp.type": "LogAppendTime"} for name in settings.topics}
    wanted[settings.dead_letters] = {**retention, "max.message.bytes": str(DEAD_LETTER_BYTES)}
    if settings.receipt_topic is not None:
        wanted[settings.receipt_topic] = retention
    created = []
    for name in missing(at, list(wanted)):
        partitions = 1 if name == settings.dead_letters else settings.partitions
        if at.create(name, partitions, replication=settings.replication, config=wanted[name]):
            created.append(name)
    return created


def missing(at: Topics, names: Sequence[str]) -> list[str]:
    """Those of the names that are no topics. Blocking; raises StoreUnavailable."""
    absent = []
    for name in names:
        try:
            at.describe([name])
        except NotFound:
            absent.append(name)
    return absent


@topics.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """Show each topic's partitions, how many messages it holds, and who stamps them."""

    async def ask(parts: Parts) -> list[dict[str, Any]]:
        return await asyncio.to_thread(_describe, parts.topics, parts.settings)

    found = with_parts(ask)
    if as_json:
        print_json(found)
        return
    print_table(
        ("topic", "for", "#partitions", "#messages", "stamped by", "#retention (days)"),
        (tuple(topic.values())[:6] for topic in found),
        empty="",
    )


@topics.command("create")
def create_topics(as_json: AsJson = False) -> None:
    """Create the topics of the settings that do not exist yet."""

    async def create(parts: Parts) -> list[str]:
        return await asyncio.to_thread(create_missing, parts.topics, parts.settings)

    created = with_parts(create)
    if as_json:
        print_json({"created": created})
    else:
        print_line(f"created {', '.join(created)}" if created else "all topics exist")


def _describe(at: Topics, settings: Settings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    absent = missing(at, [*settings.topics, *settings.own_topics])
    for name in (*settings.topics, *settings.own_topics):
        purpose = "events" if name in settings.topics else "dead letters"
        purpose = "receipts" if name == settings.receipt_topic else purpose
        if name in absent:
            found.append({"topic": name, "for": purpose, "partitions": 0, "messages": 0, "stamp": "it does not exist"})
            continue
        description = at.describe([name])[0]
        ends = at.ends(description.positions())
        config = at.config(name)
        retention = config.get("retention.ms")
        found.append(
            {
                "topic": name,
                "for": purpose,
                "partitions": description.partitions,
                "messages": sum(end - first for first, end in ends.values()),
                "stamp": config.get("message.timestamp.type", "unknown"),
                "retentionDays": round(int(retention) / DAY_MS, 2) if retention and int(retention) >= 0 else None,
                "topicId": description.incarnation,
            }
        )
    return found
