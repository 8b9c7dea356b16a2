"""The pipeline's reading as metrics: what concerns the whole deployment, told at each scrape by every API process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import nan
from typing import Any

from app import metrics

SETTLED = (
    *(metrics.KAFKA_ANSWERS, metrics.REBUILDING, metrics.LOST, metrics.LOST_AT),
    *(metrics.KEEPS_KEYS, metrics.CATALOG_REVISION),
)
LABELLED = (metrics.LAG, metrics.CHECKPOINT, metrics.FRESH, metrics.WORKERS, metrics.GENERATION_COUNTED)


def show(found: Mapping[str, Any] | None) -> None:
    """Set the gauges to a reading; None when it could not be made: nothing is known then, and nothing is 0."""
    metrics.READABLE.set(found is not None)
    if found is None:
        for gauge in SETTLED:
            gauge.set(nan)
        for gauge in LABELLED:
            metrics.show_only(gauge, {})
        return
    alive = sum(1 for worker in found["workers"] if worker["alive"])
    metrics.show_only(metrics.WORKERS, {("alive",): alive, ("silent",): len(found["workers"]) - alive})
    metrics.KAFKA_ANSWERS.set(found["logAnswers"])
    metrics.REBUILDING.set(found["rebuilding"])
    metrics.LOST.set(sum(loss["number"] for loss in found["losses"]))
    metrics.LOST_AT.set(max((_seconds(loss["at"]) for loss in found["losses"]), default=0))
    metrics.CATALOG_REVISION.set(found["revision"])
    policies = found["evictionPolicies"]
    metrics.KEEPS_KEYS.set(nan if policies is None else policies in (["noeviction"], []))
    rows = {(row["topic"], row["partition"]): row for row in found["partitions"]}
    metrics.show_only(metrics.LAG, {where: row["lag"] for where, row in rows.items()})
    metrics.show_only(metrics.CHECKPOINT, {where: row["checkpoint"] for where, row in rows.items()})
    metrics.show_only(metrics.FRESH, {where: _seconds(row["freshAsOf"]) for where, row in rows.items()})
    metrics.show_only(
        metrics.GENERATION_COUNTED,
        {(row["number"],): row["counted"] / row["messages"] for row in found["generations"] if row.get("messages")},
    )


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
