"""The index over the conversion goals of one event type: which of them may match an event. Immutable.

So that matching does not grow with the definitions: literal paths and prefixes are found by dictionary, and within a
large group a property that many of them want to equal something. What remains is asked, each condition and pattern
once an event, whatever the number of definitions that share it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final
from weakref import ref

from app.domain.conversion_goal import ConversionGoal, Counting
from app.domain.event import Event
from app.domain.goal import Goal
from app.domain.matching import is_attributed
from app.domain.url_pattern import plain_path

_WORTH_AN_INDEX: Final = 6
_MOST_PATHS: Final = 50_000
_LONGEST_PATH: Final = 200


@dataclass(frozen=True, slots=True)
class Feed:
    """What a conversion goal's conversions count for."""

    definition: ConversionGoal
    goals: tuple[Goal, ...]
    """Goals whose numerator it feeds, all versions."""
    denominators: tuple[Goal, ...]
    """Rate goals whose denominator it feeds."""
    counts_itself: bool = True
    """Whether the conversion goal's own counters move."""
    backfills: Mapping[str, Feed] = field(default_factory=dict)
    """By the name of a backfill, what the conversions count for in it."""


NO_FEEDS: Final[tuple[Feed, ...]] = ()


class _Candidate:
    """A feed, with what has to be asked laid out for the hot path."""

    __slots__ = ("alone", "condition", "condition_id", "counting", "feed", "pattern", "pattern_id", "since", "until")

    def __init__(self, feed: Feed) -> None:
        definition = feed.definition
        self.feed = feed
        self.alone = (feed,)
        self.since = definition.effective_from
        self.until = definition.effective_until
        self.condition: Callable[[Mapping[str, object]], bool] | None = (
            definition.condition.matches if definition.condition is not None else None
        )
        self.condition_id = id(definition.condition)
        self.pattern: Callable[[str], bool] | None = (
            definition.url_pattern.matches if definition.url_pattern is not None else None
        )
        self.pattern_id = id(definition.url_pattern)
        self.counting = definition.counting

    def feeds_of(self, event: Event) -> Sequence[Feed]:
        """Its feed, if its definition acts on the event and matches it. What it asks of the url is known to hold."""
        if (
            self.since <= event.received_at < self.until
            and (self.condition is None or self.condition(event.properties))
            and (self.counting is Counting.EVERY_EVENT or is_attributed(event, self.counting))
        ):
            return self.alone
        return NO_FEEDS


class _Group:
    """Candidates that share what was asked of the url; with an index by one property where that is worth it."""

    __slots__ = ("_by_value", "_name", "_others", "all", "only")

    def __init__(self, candidates: Sequence[_Candidate]) -> None:
        self.all = tuple(candidates)
        self.only = self.all[0] if len(self.all) == 1 else None
        """Most pages concern one definition."""
        self._name: str | None = None
        self._by_value: dict[object, tuple[_Candidate, ...]] = {}
        self._others: tuple[_Candidate, ...] = ()
        if len(candidates) >= _WORTH_AN_INDEX:
            self._index()

    def _index(self) -> None:
        keys = [_equalities(candidate) for candidate in self.all]
        ((name, number),) = Counter(name for own in keys for name in own).most_common(1) or [("", 0)]
        if number < _WORTH_AN_INDEX:
            return
        self._name = name
        self._others = tuple(c for c, own in zip(self.all, keys, strict=True) if name not in own)
        by_value: dict[object, list[_Candidate]] = defaultdict(list)
        for candidate, own in zip(self.all, keys, strict=True):
            if name in own:
                by_value[own[name]].append(candidate)
        self._by_value = {value: (*self._others, *some) for value, some in by_value.items()}

    def select(self, event: Event) -> Sequence[_Candidate]:
        """The candidates whose condition may hold: all that do, and perhaps some that do not."""
        if self._name is None:
            return self.all
        value = event.properties.get(self._name)
        if isinstance(value, list | dict):
            return self.all
        return self._by_value.get(value, self._others)


def _equalities(candidate: _Candidate) -> dict[str, object]:
    condition = candidate.feed.definition.condition
    return dict(condition.equality_keys()) if condition is not None else {}


class _Pages(dict[str, "tuple[_Group, ...] | None"]):
    """What a page (an url up to its `?`) has, for one type index; gone with it."""

    __slots__ = ("__weakref__",)


class PathMemory:
    """Which candidates the paths of events have, remembered: most events come from few pages.

    One for all type indexes of a catalog, and of those that follow it and keep some of them, so that what is remembered
    has one bound, whatever the number of projects. A thread may open pages while another one counts events.
    """

    __slots__ = ("_left", "_lock", "_most", "_opened")

    def __init__(self, most: int = _MOST_PATHS) -> None:
        self._most = self._left = most
        self._lock = Lock()
        self._opened: list[ref[_Pages]] = []

    def open(self) -> _Pages:
        """A dictionary that is emptied when all together have become too large."""
        pages = _Pages()
        with self._lock:
            self._opened.append(ref(pages))
        return pages

    def count_one(self) -> None:
        """Call it before each entry."""
        self._left -= 1
        if self._left < 0:
            self._left = self._most
            with self._lock:
                present = [pages for opened in self._opened if (pages := opened()) is not None]
                self._opened = [ref(pages) for pages in present]
            for pages in present:
                pages.clear()


class TypeIndex:
    """See the module. `matching` is the hot path."""

    __slots__ = (
        *("_asked", "_every", "_exact", "_free", "_has_literals", "_is_literal_only", "_known", "_lengths", "_memory"),
        "_prefixed",
    )

    def __init__(self, feeds: Iterable[Feed], memory: PathMemory | None = None) -> None:
        candidates = [_Candidate(feed) for feed in feeds]
        self._every = _Group(candidates)
        exact: dict[str, list[_Candidate]] = defaultdict(list)
        prefixed: dict[str, list[_Candidate]] = defaultdict(list)
        asked: list[_Candidate] = []
        free: list[_Candidate] = []
        for candidate in candidates:
            pattern = candidate.feed.definition.url_pattern
            if pattern is None:
                free.append(candidate)
            elif pattern.literal_path is not None:
                exact[pattern.literal_path].append(candidate)
            elif pattern.literal_prefix is not None:
                prefixed[pattern.literal_prefix].append(candidate)
            else:
                asked.append(candidate)
        self._free = _Group(free)
        self._asked = _Group(asked)
        self._exact = {path: _Group(some) for path, some in exact.items()}
        self._prefixed = {prefix: _Group(some) for prefix, some in prefixed.items()}
        self._lengths = tuple(sorted({len(prefix) for prefix in prefixed}))
        self._has_literals = bool(exact or prefixed)
        self._is_literal_only = not free and not asked
        self._memory = memory or PathMemory()
        self._known = self._memory.open()

    def matching(self, event: Event) -> Sequence[Feed]:
        """The feeds whose definitions act on the event and match it."""
        url = event.url
        groups: tuple[_Group, ...] | None = ()
        if url is not None and self._has_literals:
            # Nothing from the first ? or # on has a part in what the path is.
            page = url.partition("?")[0]
            groups = self._known.get(page, ())
            if not groups and page not in self._known:
                groups = self._find(page)
            if groups is None:
                # Not certain without the patterns themselves.
                found: list[Feed] = []
                _ask(self._every.select(event), event, {}, found, url)
                return found
        if self._is_literal_only:
            if not groups:
                return NO_FEEDS
            if len(groups) == 1 and groups[0].only is not None:
                return groups[0].only.feeds_of(event)
        found = []
        answers: dict[int, bool] = {}
        for group in groups or ():
            _ask(group.select(event), event, answers, found, None)
        if self._free.all:
            _ask(self._free.select(event), event, answers, found, None)
        if url is not None and self._asked.all:
            _ask(self._asked.select(event), event, answers, found, url)
        return found

    def _find(self, page: str) -> tuple[_Group, ...] | None:
        """The groups of literals that fit the url, None where only the patterns know; remembered."""
        path = plain_path(page)
        groups: list[_Group] = []
        if path is not None:
            group = self._exact.get(path)
            if group is not None:
                groups.append(group)
            for length in self._lengths:
                if length > len(path):
                    break
                group = self._prefixed.get(path[:length])
                if group is not None:
                    groups.append(group)
        found = None if path is None else tuple(groups)
        if len(page) <= _LONGEST_PATH:
            self._memory.count_one()
            self._known[page] = found
        return found


def _ask(
    candidates: Iterable[_Candidate], event: Event, answers: dict[int, bool], found: list[Feed], url: str | None
) -> None:
    """Append the feeds that match. `url` None: what the candidates ask of the url is known to hold."""
    received_at = event.received_at
    for candidate in candidates:
        if not candidate.since <= received_at < candidate.until:
            continue
        condition = candidate.condition
        if condition is not None:
            answer = answers.get(candidate.condition_id)
            if answer is None:
                answer = answers[candidate.condition_id] = condition(event.properties)
            if not answer:
                continue
        pattern = candidate.pattern
        if pattern is not None and url is not None:
            answer = answers.get(candidate.pattern_id)
            if answer is None:
                answer = answers[candidate.pattern_id] = pattern(url)
            if not answer:
                continue
        counting = candidate.counting
        if counting is Counting.EVERY_EVENT or is_attributed(event, counting):
            found.append(candidate.feed)
