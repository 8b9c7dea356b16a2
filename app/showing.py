"""What each goal is shown as, remembered from look to look: most stand as they stood a moment ago, and to work that
out costs ten times as much as to see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.domain import fields
from app.domain.goal import Goal
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionVersion, Project
from app.domain.moments import rfc3339
from app.domain.progress import Instant, Thresholds, measure_at, read_counts
from app.errors import InvalidDefinition
from app.goal_items import definition_item, history_points, past_periods, progress_fields
from app.pacing import Chosen

_KEPT_GOALS = 20_000


class Facts(NamedTuple):
    """All that a goal is shown from, besides its definition."""

    instant: Instant
    period: str
    """The suffix of the counters to be shown."""
    counters: Mapping[str, int]
    history: Mapping[str, int]
    points: Sequence[str]
    filled_since: int
    fresh_as_of: int | None
    incomplete_since: int | None
    chosen: Chosen


@dataclass(slots=True)
class KnownGoal:
    """A goal from look to look."""

    goal: Goal | None
    """None for one that cannot be compiled."""
    item: Mapping[str, Any]
    """The goal as it was defined."""
    facts: Facts | None = None
    shown: dict[str, Any] = field(default_factory=dict)
    """What the goal was shown as, from these facts. Never changed: reports share it."""


class ShownGoals:
    """Lives in one event loop."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._known: dict[tuple[object, ...], KnownGoal] = {}

    def known(self, version: DefinitionVersion, project: Project) -> KnownGoal:
        key = (project.key, project.time_zone, version.id, version.revision, version.effective_from)
        if key not in self._known:
            if len(self._known) >= _KEPT_GOALS:
                self._known.clear()
            self._known[key] = KnownGoal(_compile(version, project), definition_item(version))
        return self._known[key]

    def shown(self, one: KnownGoal, goal: Goal, facts: Facts) -> dict[str, Any]:
        """As lists show it; the same object again as long as nothing of it moves."""
        if one.facts != facts:
            one.facts, one.shown = facts, self._work_out(goal, one.item, facts)
        return one.shown

    def whole(self, one: KnownGoal, goal: Goal, facts: Facts) -> dict[str, Any]:
        """With its history. `facts` hold every counter of the goal then."""
        parts = {"history": history_points(facts.history, goal), "periods": past_periods(facts.counters, goal)}
        return {**self._work_out(goal, one.item, facts), **parts}

    def _work_out(self, goal: Goal, defined: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
        instant, counters, chosen = facts.instant, facts.counters, facts.chosen
        counts = read_counts(counters, facts.period)
        progress = measure_at(goal, counts, instant, self._thresholds, chosen.pace)
        item = {**defined, **progress_fields(goal, progress)}
        if chosen.reason:
            item["paceReason"] = chosen.reason
        item["lastConversionAt"] = rfc3339(counters.get(fields.LAST))
        item["freshAsOf"] = rfc3339(facts.fresh_as_of)
        if facts.incomplete_since is not None and goal.starts_at <= facts.incomplete_since:
            item["incompleteSince"] = rfc3339(facts.incomplete_since)
        if facts.filled_since > goal.starts_at:
            item["backfilledFrom"] = rfc3339(facts.filled_since)
        item["recent"] = [facts.history.get(point, 0) for point in facts.points]
        return item


def _compile(version: DefinitionVersion, project: Project) -> Goal | None:
    try:
        return compile_goal(
            version.body,
            ident=version.id,
            project=project.key,
            time_zone=project.time_zone,
            created_at=version.created_at,
            revision=version.revision,
            effective_from=version.effective_from,
        )
    except InvalidDefinition:
        return None
