"""What events look like: their types, where they happen and what they carry; for forms and for near misses. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from app.domain.event import Event
from app.domain.json_values import kind_of

MAX_TYPES, MAX_PATHS, MAX_PROPERTIES, MAX_EXAMPLES = 200, 50, 100, 5
MAX_CHILDREN: Final = 20
"""A path with more next segments than this ends in `*`: they are names, of articles or of people."""
_MOST_PATHS: Final = 2_000
_ID_SEGMENT: Final = re.compile(r"^(\d+|[0-9a-f]{8,}|[0-9a-f-]{32,})$", re.IGNORECASE)


@dataclass(slots=True)
class PropertySeen:
    """A property seen lately, by its dotted path."""

    count: int = 0
    kinds: set[str] = field(default_factory=set)
    examples: list[object] = field(default_factory=list)


@dataclass(slots=True)
class EventType:
    """A type seen lately: how often, where, and with which properties."""

    type: str
    count: int = 0
    last_at: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    properties: dict[str, PropertySeen] = field(default_factory=dict)


def discover(events: Iterable[Event]) -> list[EventType]:
    """The types among the events, most frequent first, with templated paths and properties; all bounded."""
    types: dict[str, EventType] = {}
    for event in events:
        seen = types.get(event.type)
        if seen is None:
            if len(types) >= MAX_TYPES:
                continue
            seen = types[event.type] = EventType(event.type)
        seen.count += 1
        seen.last_at = max(seen.last_at, event.occurred_at)
        if event.url:
            path = path_template(event.url)
            if path in seen.paths or len(seen.paths) < _MOST_PATHS:
                seen.paths[path] += 1
        _discover_properties(seen.properties, event.properties, "", 0)
    for seen in types.values():
        seen.paths = Counter(dict(_with_wildcards(seen.paths).most_common(MAX_PATHS)))
    return sorted(types.values(), key=lambda seen: (-seen.count, seen.type))


def _with_wildcards(paths: Counter[str]) -> Counter[str]:
    """`/blog/<a hundred titles>` is `/blog/*`: where many different segments follow, they say nothing to a reader."""
    children: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            children["/".join(parts[:depth])].add(parts[depth])
    crowded = {parent for parent, own in children.items() if parent and len(own) > MAX_CHILDREN}
    found: Counter[str] = Counter()
    for path, number in paths.items():
        parts = path.split("/")
        ends = (depth for depth in range(1, len(parts)) if "/".join(parts[:depth]) in crowded)
        end = next(ends, None)
        found[path if end is None else "/".join([*parts[:end], "*"])] += number
    return found


def _discover_properties(
    known: dict[str, PropertySeen], properties: Mapping[str, object], prefix: str, depth: int
) -> None:
    for name, value in properties.items():
        path = prefix + name
        if isinstance(value, Mapping) and depth < 3:
            _discover_properties(known, value, path + ".", depth + 1)
            continue
        seen = known.get(path)
        if seen is None:
            if len(known) >= MAX_PROPERTIES:
                continue
            seen = known[path] = PropertySeen()
        seen.count += 1
        seen.kinds.add(kind_of(value))
        if len(seen.examples) < MAX_EXAMPLES and not isinstance(value, list | Mapping) and value not in seen.examples:
            seen.examples.append(value[:100] if isinstance(value, str) else value)


def path_template(url: str) -> str:
    """The path with what looks like an id replaced: `/products/4711/reviews` -> `/products/:id/reviews`."""
    path = path_in(url)
    if path is None:
        return "(not a URL)"
    return "/".join(":id" if _ID_SEGMENT.match(segment) else segment for segment in path.split("/"))[:200]


def path_in(url: str) -> str | None:
    """None for what is no URL: anybody may send `http://[::1`."""
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return None
