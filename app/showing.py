"""What each goal is shown as, remembered from look to look: most stand as they stood a moment ago, and to work that
out costs ten times as much as to see it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from app.domain import fields
from app.domain.catalog import goal_of
from app.domain.fields import HOUR_MS
from app.domain.goal import Goal
from app.domain.history import DefinitionVersion, Project
from app.domain.moments import rfc3339
from app.domain.periods import local_date
from app.domain.progress import Instant, Thresholds, counts_fields, measure_at, read_counts, shown_period
from app.errors import InvalidDefinition
from app.goal_items import definition_item, history_points, past_periods, progress_fields
from app.pacing import Chosen
from app.ports import Known, Wanted, rest_of

_KEPT_GOALS = 20_000
_SPARK_HOURS = 24
_HOURS_KEPT_MS = 10_000
_ALL: tuple[str, ...] = ("*",)


class Spark(NamedTuple):
    """The fields of a goal's history that its spark line is drawn from."""

    hours: tuple[str, ...]
    """Oldest first; the last one is the present hour."""
    sums: tuple[str, ...]
    """The days that these hours lie in, and the present hour: as long as the days less that hour make the same number,
    the other hours are as they were."""
    whole: tuple[str, ...]
    """All of them."""


@lru_cache(maxsize=2048)
def spark_of(this_hour: int, time_zone: str) -> Spark:
    """`this_hour` since the epoch. The same object each time: there are some six hundred zones."""
    numbers = range(this_hour - _SPARK_HOURS + 1, this_hour + 1)
    hours = tuple("n" + fields.hour_suffix(number * HOUR_MS) for number in numbers)
    # Days of some zones begin within an hour.
    dates = {local_date(number * HOUR_MS, time_zone) for number in (*numbers, this_hour + 1)}
    days = tuple("n" + fields.day_suffix(date) for date in sorted(dates))
    return Spark(hours, (*days, hours[-1]), (*days, *hours))


class Hours(NamedTuple):
    """The hours before the present one, as they were read last."""

    spark: Spark
    known: Known
    """As long as it holds, they need not be read again."""
    conversions: tuple[int, ...]
    read_at: int


class Asked(NamedTuple):
    """What is asked of a goal: its counters, its history, and how far its backfill is if it has one."""

    wanted: Sequence[Wanted]
    hours: Hours | None
    """What is not asked for since it is remembered."""


class Facts(NamedTuple):
    """All that a goal is shown from, besides its definition."""

    instant: Instant
    period: str
    """The suffix of the counters to be shown."""
    counters: Mapping[str, int]
    recent: Sequence[int]
    """Conversions by hour."""
    filled_since: int
    fresh_as_of: int | None
    incomplete_since: int | None
    """The earliest loss that concerns the goal."""
    chosen: Chosen


def incomplete_since(goal: Goal, lost_at: Sequence[int]) -> int | None:
    """The earliest loss since the goal started; `lost_at` is in order. An earlier one took nothing from it."""
    index = bisect_left(lost_at, goal.starts_at)
    return lost_at[index] if index < len(lost_at) else None


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
    hours: Hours | None = None
    asked: tuple[object, Asked] | None = None
    """What was asked last, after what it depends on."""

    def ask(self, backfill: str | None, spark: Spark, now: int, *, is_whole: bool) -> Asked:
        """`is_whole`: every field."""
        goal = self.goal
        if goal is None:
            return Asked((), None)
        if is_whole:
            return _ask(goal, backfill, _ALL, _ALL, None)
        period, hours = shown_period(goal, now), self.hours_at(spark, now)
        by = (backfill, period, spark, hours)
        if self.asked is None or self.asked[0] != by:
            self.asked = by, _ask(goal, backfill, counts_fields(goal, period), spark.whole, hours)
        return self.asked[1]

    def hours_at(self, spark: Spark, now: int) -> Hours | None:
        """What is remembered for this spark line; after ten seconds nothing: two events may have moved hours and not
        their sum."""
        hours = self.hours
        if hours is None or hours.spark is not spark or not 0 <= now - hours.read_at < _HOURS_KEPT_MS:
            return None
        return hours

    def recent(self, spark: Spark, hours: Hours | None, found: Mapping[str, int], now: int) -> tuple[int, ...]:
        """The spark line. `found` was asked for when these `hours` were remembered: others may be by now."""
        if hours is None or not hours.known.still_holds(found):
            known = Known(spark.sums, rest_of(spark.sums, found))
            hours = self.hours = Hours(spark, known, tuple(found.get(name, 0) for name in spark.hours[:-1]), now)
        return (*hours.conversions, found.get(spark.hours[-1], 0))


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

    def whole(self, one: KnownGoal, goal: Goal, facts: Facts, history: Mapping[str, int]) -> dict[str, Any]:
        """With its history. `facts` hold every counter of the goal then."""
        parts = {"history": history_points(history, goal), "periods": past_periods(facts.counters, goal)}
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
        if facts.incomplete_since is not None:
            item["incompleteSince"] = rfc3339(facts.incomplete_since)
        if facts.filled_since > goal.starts_at:
            item["backfilledFrom"] = rfc3339(facts.filled_since)
        item["recent"] = facts.recent
        return item


def _compile(version: DefinitionVersion, project: Project) -> Goal | None:
    try:
        return goal_of(version, project.time_zone)
    except InvalidDefinition:
        return None


def _ask(
    goal: Goal, backfill: str | None, counters: Sequence[str], history: Sequence[str], hours: Hours | None
) -> Asked:
    def inside(owner: str) -> str:
        return owner if backfill is None else fields.in_backfill(backfill, owner)

    wanted = [
        Wanted(goal.project, inside(fields.goal_owner(goal.id)), counters),
        Wanted(goal.project, inside(fields.goal_history_owner(goal.id)), history, hours and hours.known),
    ]
    if backfill is not None:
        wanted.append(Wanted(goal.project, inside(fields.STATE), _ALL))
    return Asked(wanted, hours)
