"""The goal: a metric, a target and a deadline. How its periods lie in time stands in periods.py.

Pure. Times are epoch milliseconds, UTC; calendar rules use the project's time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.domain.conversion_goal import FOREVER


class Aggregation(StrEnum):
    COUNT = "count"
    SUM = "sum"
    UNIQUE = "unique"
    RATE = "rate"


class Direction(StrEnum):
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class PaceKind(StrEnum):
    """What the target is expected to grow like."""

    LINEAR = "linear"
    SEASONAL = "seasonal"


class Period(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Status(StrEnum):
    """In order of severity."""

    COMPLETED = "completed"
    ON_TRACK = "on_track"
    AT_RISK = "at_risk"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class Goal:
    """One version of a goal.

    A conversion counts when `starts_at <= occurred at <= ends_at`, both inclusive, and when the record's broker
    timestamp t holds `effective_from <= t < effective_until`. `deadline` is the text as it was given.
    """

    id: str
    project: str
    metric: str
    target: Decimal
    deadline: str
    starts_at: int
    ends_at: int
    created_at: int
    description: str = ""
    unit: str = ""
    aggregation: Aggregation = Aggregation.COUNT
    period: Period | None = None
    direction: Direction = Direction.AT_LEAST
    pace: PaceKind = PaceKind.LINEAR
    time_zone: str = "UTC"
    start_value: Decimal = Decimal(0)
    backfill: bool = False
    denominator_metric: str | None = None
    conversion_goal_ids: tuple[str, ...] | None = None
    status_override: Status | None = None
    revision: int = 0
    effective_from: int = 0
    effective_until: int = FOREVER

    def is_fed_by(self, conversion_goal_id: str, metric: str) -> bool:
        """Whether a conversion of that conversion goal counts for this goal's numerator."""
        if self.conversion_goal_ids is not None:
            return conversion_goal_id in self.conversion_goal_ids
        return metric == self.metric
