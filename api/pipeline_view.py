"""What one project may know of the pipeline that it shares with others.

By partitions, workers and the ends of the log it could follow what the others send. It is told what became of its own
messages, and whether and up to when the log is counted; the rest is for operators, and for a project that is alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHARED = ("freshAsOf", "rebuilding", "generation", "logAnswers", "evictionPolicies")
_OF_PARTITION = ("topic", "partition", "freshAsOf", "silentSeconds")
_OF_WORKER = ("alive", "at", "startedAt", "partitions")
_OF_GENERATION = ("number", "shown", "createdAt", "finished", "countedAt", "since")
_OF_LOSS = ("topic", "partition", "at")


def for_project(found: Mapping[str, Any], project: str) -> dict[str, Any]:
    """The reading without any figure that another project moves."""
    workers = [{"id": f"worker {number}", **_some(row, _OF_WORKER)} for number, row in enumerate(found["workers"], 1)]
    return {
        "whole": False,
        **_some(found, _SHARED),
        "projects": {project: found["projects"].get(project, {})},
        "partitions": [_some(row, _OF_PARTITION) for row in found["partitions"]],
        "workers": workers,
        "generations": [_generation(row) for row in found["generations"]],
        "losses": [_some(row, _OF_LOSS) for row in found["losses"]],
    }


def _generation(row: Mapping[str, Any]) -> dict[str, Any]:
    told = _some(row, _OF_GENERATION)
    if row.get("messages"):
        told["countedShare"] = round(row["counted"] / row["messages"], 2)
    return told


def _some(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}
