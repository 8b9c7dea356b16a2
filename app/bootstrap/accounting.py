"""What became of every message, by partition and by project: received = counted + unmatched + duplicate + rejected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.domain.beginning import Spans
from app.domain.moments import rfc3339

FATES = ("received", "counted", "unmatched", "duplicate")

Stripes = Sequence[Mapping[str, Mapping[str, int]]]
"""Per stripe, its owners with their fields, as the counters' snapshot gives them."""


def fates_by_project(stripes: Stripes, projects: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Project -> `{received, counted, unmatched, duplicate, rejected: {reason: n}}`."""
    return {key: _fates(_sums(stripe.get(f"p:{key}", {}) for stripe in stripes)) for key in projects}


def fates_of_positions(stripes: Stripes, names: Iterable[str]) -> dict[str, Any]:
    """`{received, counted, unmatched, duplicate, rejected: {reason: n}}` of all that the positions held."""
    accounting = _by_position(stripes)
    return _fates(_sums(accounting.get(name, {}) for name in names))


def partition_rows(
    stripes: Stripes,
    fresh: Mapping[str, tuple[int, int, int]],
    spans: Spans | None,
    *,
    now: int,
) -> list[dict[str, Any]]:
    """One row a partition: of those that the log has now, else of all that were ever counted.

    `fresh`: position name -> (complete up to, end offset, when a worker said so), times in epoch ms.
    """
    if spans is None:
        names = {name for stripe in stripes for name in stripe.get("cp", {})} | set(fresh)
    else:
        names = {position.name for position in spans}
    by_name = {position.name: span for position, span in (spans or {}).items()}
    accounting = _by_position(stripes)
    rows = []
    for name in sorted(names, key=split_position):
        topic, partition, incarnation = split_position(name)
        checkpoint = min((stripe.get("cp", {}).get(name, 0) for stripe in stripes), default=0)
        at, seen_end, seen_at = fresh.get(name, (0, checkpoint, 0))
        first, log_end = by_name.get(name, (0, 0))
        end = max(seen_end, log_end, checkpoint)
        rows.append(
            {
                "topic": topic,
                "partition": partition,
                "incarnation": incarnation,
                "checkpoint": checkpoint,
                "first": first,
                "end": end,
                "lag": end - max(checkpoint, first),
                "freshAsOf": rfc3339(at or None),
                "silentSeconds": round((now - seen_at) / 1000, 1) if seen_at else None,
                **_fates(accounting.get(name, {})),
            }
        )
    return rows


def is_balanced(row: Mapping[str, Any]) -> bool:
    """Whether the fates add up to what was received."""
    return bool(row["received"] == sum(row[fate] for fate in FATES[1:]) + sum(row["rejected"].values()))


def split_position(name: str) -> tuple[str, int, str]:
    """`topic:partition:incarnation` -> its parts."""
    topic, partition, incarnation = name.rsplit(":", 2)
    return topic, int(partition), incarnation


def _by_position(stripes: Stripes) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for stripe in stripes:
        for field, number in stripe.get("acct", {}).items():
            where, _, fate = field.rpartition("|")
            own = found.setdefault(where, {})
            own[fate] = own.get(fate, 0) + number
    return found


def _sums(owners: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for own in owners:
        for name, number in own.items():
            total[name] = total.get(name, 0) + number
    return total


def _fates(own: Mapping[str, int]) -> dict[str, Any]:
    rejected = {name.partition(":")[2]: n for name, n in sorted(own.items()) if name.startswith("rejected:")}
    return {**{fate: own.get(fate, 0) for fate in FATES}, "rejected": rejected}
