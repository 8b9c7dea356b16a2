"""The pipeline's state, as `scorekeeper status`, the API and the page show it: one reading for all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from app.bootstrap.parts import Parts
from app.domain.moments import rfc3339
from app.errors import GenerationMissing

FATES = ("received", "counted", "unmatched", "duplicate")


async def pipeline_status(parts: Parts) -> dict[str, Any]:
    """`{partitions, projects, workers, freshAsOf, rebuilding, generation, losses}`. Raises StoreUnavailable.

    `end` and `lag` of a partition are as its worker last saw them.
    """
    workers = await parts.signals.workers()
    shown: dict[str, Any] = {
        "partitions": [],
        "projects": {},
        "workers": [{"id": name, **report} for name, report in sorted(workers.items())],
        "freshAsOf": None,
        "rebuilding": True,
        "generation": None,
        "losses": [],
    }
    try:
        counters = await parts.counters()
        stripes = await counters.snapshot()
        fresh = await counters.freshness()
        losses = await counters.losses()
    except GenerationMissing:
        return shown
    since = min((at for at, _, _ in fresh.values()), default=0)
    return {
        **shown,
        "partitions": _partitions(stripes, fresh),
        "projects": accounting_by_project(stripes),
        "freshAsOf": rfc3339(since or None),
        "rebuilding": since < counters.generation.created_at,
        "generation": counters.generation.number,
        "losses": [{**loss, "at": rfc3339(int(str(loss["at"])))} for loss in losses],
    }


def accounting_by_project(stripes: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, Any]]:
    """Project -> `{received, counted, unmatched, duplicate, rejected: {reason: n}}`."""
    found: dict[str, dict[str, Any]] = {}
    for stripe in stripes:
        for owner, own in stripe.items():
            if owner.startswith("p:"):
                found[owner[2:]] = _fates(own)
    return found


def _fates(own: Mapping[str, int]) -> dict[str, Any]:
    rejected = {name.partition(":")[2]: n for name, n in own.items() if name.startswith("rejected:")}
    return {**{fate: own.get(fate, 0) for fate in FATES}, "rejected": rejected}


def _partitions(
    stripes: Sequence[Mapping[str, Mapping[str, int]]], fresh: Mapping[str, tuple[int, int, int]]
) -> list[dict[str, Any]]:
    rows = []
    names = {name for stripe in stripes for name in stripe["cp"]} | set(fresh)
    now = int(time.time() * 1000)
    for name in sorted(names, key=_order):
        topic, partition, incarnation = split_position(name)
        own: dict[str, int] = {}
        for stripe in stripes:
            for field, number in stripe["acct"].items():
                where, _, fate = field.rpartition("|")
                if where == name:
                    own[fate] = own.get(fate, 0) + number
        checkpoint = min(stripe["cp"].get(name, 0) for stripe in stripes)
        at, end, seen_at = fresh.get(name, (0, checkpoint, 0))
        end = max(end, checkpoint)
        rows.append(
            {
                "topic": topic,
                "partition": partition,
                "incarnation": incarnation,
                "checkpoint": checkpoint,
                "end": end,
                "lag": end - checkpoint,
                "freshAsOf": rfc3339(at or None),
                "silentSeconds": round((now - seen_at) / 1000, 1) if seen_at else None,
                **_fates(own),
            }
        )
    return rows


def split_position(name: str) -> tuple[str, int, str]:
    """`topic:partition:incarnation` -> its parts."""
    topic, partition, incarnation = name.rsplit(":", 2)
    return topic, int(partition), incarnation


def _order(name: str) -> tuple[str, int, str]:
    return split_position(name)
