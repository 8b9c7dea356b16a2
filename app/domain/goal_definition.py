"""What a valid goal definition is, and its compiled form. Pure; compiled when it is saved or loaded.

A deadline in the past is allowed, since the same definition is compiled again long after its deadline; but it must lie
after the start, which is the creation unless `startsAt` says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from app.domain.conversion_goal import FOREVER
from app.domain.definition_fields import Fields, quoted
from app.domain.goal import Aggregation, Direction, Goal, PaceKind, Period, Status
from app.domain.moments import rfc3339
from app.domain.periods import day_bounds, period_bounds

FIELDS: Final = (
    "metric",
    "target",
    "deadline",
    "description",
    "unit",
    "aggregation",
    "denominatorMetric",
    "period",
    "direction",
    "pace",
    "startsAt",
    "startValue",
    "backfill",
    "conversionGoalIds",
    "status",
)
"""The fields of a definition, as the API names them. `status` is the manual override; null takes it back."""

MAX_CONVERSION_GOALS: Final = 100
MAX_DESCRIPTION: Final = 2000

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
MOMENT_REMEDY: Final = "Give a date (2026-12-31) or an RFC 3339 date-time with its offset (2026-12-31T23:59:59Z)."
_OUT_OF_REACH: Final = (
    "it, or the period that it lies in, reaches beyond the years 1 to 9999.",
    "Give one of the years 2 to 9998.",
)
_decode_moment: Final = msgspec.json.Decoder(datetime).decode

_Bounds = tuple[int, int]


def compile_goal(
    body: Mapping[str, object],
    *,
    ident: str,
    project: str,
    time_zone: str,
    created_at: int,
    revision: int = 0,
    effective_from: int = 0,
    effective_until: int = FOREVER,
) -> Goal:
    """The compiled form of a goal with the API's field names.

    `null` stands for a field that is absent; unknown fields are refused. A deadline that is a date ends with the last
    millisecond of that day in `time_zone`; a `startsAt` that is a date begins with its first. When `backfill` lets a
    version act on records from before it, `effective_from` says so: it is taken as it is given. Raises
    InvalidDefinition (field as JSON pointer, problem, remedy; further wrong fields in `others`).
    """
    fields = Fields(body, FIELDS)
    ends_at = _moment(fields, "deadline", lambda text: _deadline(text, time_zone), required=True)
    starts_at = _moment(fields, "startsAt", lambda text: first_moment(text, time_zone))
    goal = Goal(
        id=ident,
        project=project,
        metric=fields.text("metric", required=True),
        target=_target(fields),
        deadline=fields.text("deadline"),
        starts_at=created_at if starts_at is None else starts_at,
        ends_at=0 if ends_at is None else ends_at,
        created_at=created_at,
        description=fields.text("description", lines=True, most=MAX_DESCRIPTION),
        unit=fields.text("unit"),
        aggregation=fields.choice("aggregation", Aggregation, Aggregation.COUNT),
        period=fields.optional_choice("period", Period),
        direction=fields.choice("direction", Direction, Direction.AT_LEAST),
        pace=fields.choice("pace", PaceKind, PaceKind.LINEAR),
        time_zone=time_zone,
        start_value=fields.number("startValue") or Decimal(0),
        backfill=fields.flag("backfill"),
        denominator_metric=fields.text("denominatorMetric") or None,
        conversion_goal_ids=fields.texts("conversionGoalIds", most=MAX_CONVERSION_GOALS),
        status_override=fields.optional_choice("status", Status),
        revision=revision,
        effective_from=effective_from,
        effective_until=effective_until,
    )
    if ends_at is not None:
        _check_span(fields, goal)
    _check_shown(fields, goal)
    _check_together(fields, goal)
    fields.finish()
    return goal


def _check_span(fields: Fields, goal: Goal) -> None:
    if goal.ends_at >= goal.starts_at:
        return
    if fields.has("startsAt"):
        fields.problem("deadline", "it lies before startsAt.", "Give a later deadline or an earlier startsAt.")
    else:
        remedy = "Give a later one, or say in startsAt since when conversions count."
        fields.problem("deadline", "it lies before the goal's creation, which is its start.", remedy)


def _check_shown(fields: Fields, goal: Goal) -> None:
    """Whoever lists the goal shows both moments, and the periods that these lie in: they must be dates that can be
    written."""
    # A seasonal pace asks what time it is in the time zone when the goal starts.
    period = goal.period or (Period.DAY if goal.pace is PaceKind.SEASONAL else None)
    for name, moment in (("deadline", goal.ends_at), ("startsAt", goal.starts_at)):
        try:
            rfc3339(moment)
            if period is not None:
                period_bounds(period, moment, goal.time_zone)
        except OverflowError:
            fields.problem(name, *_OUT_OF_REACH)


def _check_together(fields: Fields, goal: Goal) -> None:
    """What must hold between fields."""
    is_rate = goal.aggregation is Aggregation.RATE
    if is_rate and goal.denominator_metric is None:
        fields.problem("denominatorMetric", "a rate needs it.", "Name the metric that is 100 %, like visits.")
    if not is_rate and goal.denominator_metric is not None:
        fields.problem("denominatorMetric", "only a rate has one.", "Leave it out, or set aggregation to 'rate'.")
    if is_rate and goal.pace is not PaceKind.LINEAR:
        fields.problem("pace", "a rate is expected to be at its target at any time.", "Leave it out.")
    if goal.start_value and is_rate:
        fields.problem("startValue", "a rate has no baseline.", "Leave it out.")
    if goal.start_value and goal.period is not None:
        fields.problem("startValue", "a goal that restarts with each period begins at 0.", "Leave it out.")


def _target(fields: Fields) -> Decimal:
    target = fields.number("target")
    if target is None:
        if not fields.has("target"):
            fields.problem("target", "it is missing.", "Give the number to be reached.")
        return Decimal(1)
    is_limit = fields.optional_choice("direction", Direction) is Direction.AT_MOST
    if target < 0 or (target == 0 and not is_limit):
        fields.problem("target", "it is not positive.", "Only a goal with direction 'at_most' may have the target 0.")
    return target


def _moment(fields: Fields, name: str, read: Callable[[str], int | None], *, required: bool = False) -> int | None:
    text = fields.text(name, required=required)
    if not text:
        return None
    try:
        moment = read(text)
    except OverflowError:
        fields.problem(name, *_OUT_OF_REACH)
        return None
    if moment is None:
        fields.problem(name, f"it is {quoted(text)}, which is no date that exists.", MOMENT_REMEDY)
    return moment


def _deadline(text: str, time_zone: str) -> int | None:
    day = _day_bounds(text, time_zone)
    return day[1] - 1 if day is not None else _date_time(text)


def first_moment(text: str, time_zone: str) -> int | None:
    """Epoch ms of an RFC 3339 date-time, or of a date's first moment there; None when it is neither.

    Raises OverflowError outside the years that can be written.
    """
    day = _day_bounds(text, time_zone)
    return day[0] if day is not None else _date_time(text)


def _day_bounds(text: str, time_zone: str) -> _Bounds | None:
    """None for what is no date; raises OverflowError for one whose day has no end, or no start, that can be written."""
    if not _DATE.fullmatch(text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day_bounds(day, time_zone)


def _date_time(text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 date-time; None when it is none or has no offset."""
    try:
        moment = _decode_moment(msgspec.json.encode(text))
    except msgspec.ValidationError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // _MILLISECOND
