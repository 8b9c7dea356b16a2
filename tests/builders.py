"""Builders that default everything: records of a log, definitions, and the catalog that they make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.catalog import Catalog, build_catalog
from app.domain.conversion_goal import FOREVER
from app.domain.folding_rules import FoldingRules
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.increments import Position
from app.domain.parsing import ParsingRules
from app.rereading import LOG_APPEND_TIME
from app.tracking import Batch

NOW = 1_790_000_000_000
POSITION = Position("events", 0, "topic-id")
RULES = FoldingRules(ParsingRules(), secret=b"0" * 16, window_ms=7 * 86_400_000)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A message as it lies in a log."""

    offset: int
    value: bytes | None
    timestamp: int = NOW
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_type: int | None = LOG_APPEND_TIME


def event(ident: str | None = None, type: str = "purchase", project: str = "shop", **fields: Any) -> bytes:  # noqa: A002  # the event's own word
    """An event's JSON."""
    named = {} if ident is None else {"id": ident}
    return json.dumps({"type": type, "projectKey": project, "timestamp": NOW, **named, **fields}).encode()


def records(values: Iterable[bytes | None], first_offset: int = 0) -> list[LogRecord]:
    return [LogRecord(offset, value) for offset, value in enumerate(values, first_offset)]


def batch(some: Sequence[LogRecord], start: int | None = None, position: Position = POSITION) -> Batch:
    """From the first record's offset (or `start`) to beyond the last one."""
    first = some[0].offset if start is None else start
    return Batch(position, first, some[-1].offset + 1, some)


def batches(some: Sequence[LogRecord], size: int, position: Position = POSITION) -> list[Batch]:
    """The records in batches of `size`."""
    return [batch(some[first : first + size], position=position) for first in range(0, len(some), size)]


def version(
    kind: str, ident: str, body: Mapping[str, object], project: str = "shop", **times: int
) -> DefinitionVersion:
    """Acts on every record, unless `effective_from` and `effective_until` say otherwise."""
    whole = {"effective_from": 0, "effective_until": FOREVER, "created_at": 0, **times}
    return DefinitionVersion(kind, ident, project, 1, body=body, **whole)


def conversion_goal(ident: str = "cg", event_type: str = "purchase", **body: object) -> DefinitionVersion:
    return version("conversion_goal", ident, {"name": ident, "eventType": event_type, "metric": "m", **body})


def goal(ident: str = "goal", **body: object) -> DefinitionVersion:
    whole = {"metric": "m", "target": 100, "deadline": "2030-01-01", "startsAt": "2020-01-01", **body}
    return version("goal", ident, whole)


def catalog(*versions: DefinitionVersion, projects: Sequence[str] = ("shop",)) -> Catalog:
    """By default one conversion goal for purchases that feeds one goal."""
    made = versions or (conversion_goal(), goal())
    return build_catalog(DefinitionHistory(1, NOW, [Project(key, key, "UTC", 0) for key in projects], made))


def created(definitions: Catalog, at: int) -> Catalog:
    """The same of projects that were created then."""
    views = definitions.projects.items()
    return replace(definitions, projects={k: replace(v, project=replace(v.project, created_at=at)) for k, v in views})
