"""Why nothing that came lately would count, and what was probably meant: for the preview and whoever saves. Pure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from app.domain.condition import EQUALITY, Requirement
from app.domain.condition_paths import find
from app.domain.contradiction import contradictions
from app.domain.conversion_goal import ConversionGoal
from app.domain.discovery import PropertySeen, discover, path_in, path_template
from app.domain.event import Event
from app.domain.json_values import kind_of
from app.domain.matching import verdicts
from app.domain.properties import exact_number
from app.domain.url_pattern import UrlPattern, compile_url_pattern
from app.domain.wording import describe_clause
from app.errors import InvalidDefinition

_MOST: Final = 1_000
"""So many events, or different addresses, are looked at."""
_COMPARED: Final = EQUALITY | {"$in", "$gt", "$gte", "$lt", "$lte"}
_TEXTS: Final = {"string": "a text", "number": "a number", "boolean": "true or false"}
_SYNTAX: Final = re.compile(r"[:*{(?+\\]")


def impossible(definition: ConversionGoal) -> list[str]:
    """A warning for each property that can never be as the definition asks, whatever events come."""
    found = contradictions(definition.condition) if definition.condition is not None else []
    return [f"No event can ever count: {told}." for told in found]


def warnings(
    events: Sequence[Event],
    definition: ConversionGoal,
    matching: Sequence[Event],
    never_held: Iterable[tuple[str, str, object]],
) -> list[str]:
    """What keeps all `events` (the newest first) from counting, or their value from being summed; empty if nothing.

    `matching`: some of those that would count. `never_held`: path, operator and operand of the clauses that no event
    of the type fulfils.
    """
    if not events:
        return ["No recent events to compare with: the definition is saved as it is."]
    of_type = [event for event in events if event.type == definition.event_type]
    if not of_type:
        types = Counter(event.type for event in events)
        near = nearest(definition.event_type, types)
        hint = f' Did you mean "{near}" ({_events(types[near])})?' if near else ""
        told = f'None of the last {len(events)} events has the type "{definition.event_type}".{hint}'
        return [told, *([] if near else _of_other_types(events, definition, _MOST))]
    if matching:
        return _without_value(matching, definition.value_property)
    # A definition that is costly to try was tried on few of its type: all this must cost less than the preview itself.
    most = min(_MOST, max(100, len(of_type) // 4))
    return [
        f"None of the last {len(of_type)} events of this type would count.",
        *_addresses(of_type, definition.url_pattern),
        *_properties(of_type[:most], definition),
        *_of_other_types(events, definition, most),
        *(f"No recent event holds: {describe_clause(*clause)}." for clause in never_held),
    ]


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


# -- where


def _addresses(of_type: Sequence[Event], pattern: UrlPattern | None) -> list[str]:
    urls = Counter(event.url for event in of_type if event.url is not None)
    if pattern is None or any(pattern.matches(url) for url in urls):
        return []
    variants = _Variants(pattern)
    missed: Counter[str] = Counter()
    for url, number in urls.most_common(_MOST):
        told = variants.fitting(url)
        if told is not None:
            missed[told] += number
    if missed:
        return [f"{_events(number)} had this path {told}." for told, number in missed.most_common(3)]
    return _nearest_path(urls, pattern)


class _Variants:
    """How an address would have to be written otherwise to fit the pattern."""

    def __init__(self, pattern: UrlPattern) -> None:
        self._pattern = pattern
        source = pattern.source
        # In a group of its own syntax a capital may have another meaning: \D is not \d.
        self._lowered = None if "(" in source or "\\" in source else _compiled(source.lower())
        self._path = None if source.startswith("/") else pattern.of_path()

    def fitting(self, url: str) -> str | None:
        path = path_in(url)
        if path is None:
            return None
        if self._pattern.matches(_with_path(url, path.rstrip("/") if path.endswith("/") else path + "/")):
            return "with a trailing slash" if path.endswith("/") else "without a trailing slash"
        if self._lowered is not None and self._lowered.matches(url.lower()):
            return f"in another case: {path}"
        if self._path is not None and self._path.matches(url):
            origin = url[: url.index(path)] if path != "/" else url.rstrip("/")
            return f"at {origin}" if origin else "without a host"
        return None


def _compiled(source: str) -> UrlPattern | None:
    try:
        return compile_url_pattern(source)
    except InvalidDefinition:
        return None


def _with_path(url: str, path: str) -> str:
    return urlsplit(url)._replace(path=path or "/").geturl()


def _nearest_path(urls: Mapping[str, int], pattern: UrlPattern) -> list[str]:
    wanted = _SYNTAX.split(pattern.source if pattern.source.startswith("/") else "/")[0].rstrip("/")
    seen: Counter[str] = Counter()
    for url, number in list(urls.items())[:_MOST]:
        parts = path_template(url).rstrip("/").split("/")
        for end in range(2, len(parts) + 1):
            seen["/".join(parts[:end])] += number
    if not wanted or not seen:
        return []
    if wanted in seen:
        return [f"{_events(seen[wanted])} had a path below it: {wanted}/* counts these."]
    close = difflib.get_close_matches(wanted, list(seen), n=1, cutoff=0.75)
    return [f'Did you mean the path "{close[0]}" ({_events(seen[close[0]])})?'] if close else []


# -- what


def _properties(some: Sequence[Event], definition: ConversionGoal) -> Iterator[str]:
    if definition.condition is None:
        return
    known = discover(some)[0].properties
    for requirement in definition.condition.requirements():
        if not any(requirement.holds(event.properties) for event in some):
            told = _property(some, requirement, known)
            if told:
                yield told


def _property(some: Sequence[Event], requirement: Requirement, known: Mapping[str, PropertySeen]) -> str:
    """What is the matter with a requirement that no event fulfils; empty if its value is only another one."""
    path, wanted = requirement.path, requirement.wanted
    values = [value for event in some if (value := find(event.properties, path, None)) is not None]
    if not values:
        near = nearest(path, known)
        return f'No recent event has "{path}". Did you mean "{near}" ({_events(known[near].count)})?' if near else ""
    if requirement.operator not in _COMPARED:
        return ""
    asked = wanted if requirement.operator == "$in" and isinstance(wanted, list) else [wanted]
    kinds, wanted_kinds = {kind_of(value) for value in values}, {kind_of(one) for one in asked}
    if not kinds & wanted_kinds and len(kinds) == len(wanted_kinds) == 1:
        found, should = (_TEXTS.get(kind, "") for kind in (*kinds, *wanted_kinds))
        if found and should:
            return f"{path} is {found} in these events, and {should} is asked for."
    texts = Counter(value for value in values if isinstance(value, str))
    for one in asked:
        near = nearest(one, texts) if isinstance(one, str) and requirement.operator not in {"$gt", "$lt"} else None
        if near is not None:
            return f'{path}: did you mean "{near}" ({_events(texts[near])})?'
    return ""


def _without_value(found: Sequence[Event], path: tuple[str, ...] | None) -> list[str]:
    if path is None or any(exact_number(event.data, path) is not None for event in found):
        return []
    known = discover(found)[0].properties
    numbers = {name: seen for name, seen in known.items() if "number" in seen.kinds}
    told = f"None of the events that would count has a number at {'.'.join(path)}: nothing would be summed."
    return [f"{told} Numbers there: {', '.join(sorted(numbers)[:5])}." if numbers else told]


def _of_other_types(events: Sequence[Event], definition: ConversionGoal, most: int) -> list[str]:
    """Whether it is only the type, for a definition that asks for more than that."""
    if definition.url_pattern is None and definition.condition is None:
        return []
    others = [event for event in events if event.type != definition.event_type][:most]
    types = Counter(event.type for event in others if all(verdicts(event, definition)[1:]))
    return [f'All else holds for {_events(number)} of the type "{name}".' for name, number in types.most_common(2)]


def nearest(wanted: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant: the same but for case and separators, or else the most similar."""
    names = [name for name in known if name != wanted]
    folded = {_folded(name): name for name in reversed(names)}
    if _folded(wanted) and _folded(wanted) in folded:
        return folded[_folded(wanted)]
    close = difflib.get_close_matches(wanted, names[:_MOST], n=1, cutoff=0.7)
    return close[0] if close else None


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
