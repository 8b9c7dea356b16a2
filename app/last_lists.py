"""The last list of each project's goals, and for how long it may serve those who ask often.

No clock is read here: `at` is in monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from app.listing import GoalList

LONGEST_REUSE_SECONDS = 0.25
"""About what the page's stream may take to show a change."""
UNDER_WAY_REUSE = 4
"""So many times that while the next list is being made: on a machine that has too much to do that may take long."""
REUSE_BY_MAKING = 5
"""How many times as long as a list took to make it may serve a crowd."""
LONGEST_REST_SECONDS = 0.15
REST_BY_MAKING = 2
"""How many times as long until the next one is begun: making lists takes a part of a core, not all."""
_KEPT_PROJECTS = 1_000


@dataclass(frozen=True, slots=True)
class LastList:
    """A list that was made, or that was seen to be what would be made again."""

    made: GoalList
    took: float
    """To make it, in seconds."""
    stood_at: float
    """When it was made, or seen to be what would be made again."""
    is_moving: bool
    """Another mark than the one before: the next look does not ask whether the list stands, which while events are
    counted is a wait for Redis for nothing."""

    def may_serve(self, at: float, *, is_next_under_way: bool) -> bool:
        """Whether those who ask often may have it."""
        longest = min(REUSE_BY_MAKING * self.took, LONGEST_REUSE_SECONDS)
        if is_next_under_way:
            longest = UNDER_WAY_REUSE * LONGEST_REUSE_SECONDS
        return at - self.stood_at <= longest

    def is_next_due(self, at: float) -> bool:
        """Whether it is time to begin the next one, for those who will ask."""
        return at - self.stood_at >= min(REST_BY_MAKING * self.took, LONGEST_REST_SECONDS)


class LastLists:
    """By project, of those that were asked for last."""

    def __init__(self) -> None:
        self._lists: OrderedDict[str, LastList] = OrderedDict()

    def of(self, project: str) -> LastList | None:
        return self._lists.get(project)

    def keep(self, project: str, last: LastList) -> None:
        self._lists[project] = last
        self._lists.move_to_end(project)
        while len(self._lists) > _KEPT_PROJECTS:
            self._lists.popitem(last=False)
