"""The names of counters: who owns one, and what its fields are called. One place, so that writers and readers agree.

Owner `g:<goal>`            totals and periods of a goal
Owner `h:<goal>`            its history: one field an hour and one a day
Owner `c:<conversion goal>` totals of a conversion goal; `k:<conversion goal>` its history

Field = letter + suffix. Letters: `n` conversions (or unique subjects), `v` and `u` the whole part and the millionths of
their value, `d` the denominator of a rate, `last` the newest occurred-at. Suffixes: nothing for the total, `@<ms>` for
the period that starts at that epoch millisecond, `.<hour>` for an hour since the epoch, `/<day>` for a day (ISO date in
the project's time zone).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

HOUR_MS: Final = 3_600_000
MICRO: Final = 1_000_000
LAST: Final = "last"


def goal_owner(goal_id: str) -> str:
    return f"g:{goal_id}"


def goal_history_owner(goal_id: str) -> str:
    return f"h:{goal_id}"


def conversion_goal_owner(conversion_goal_id: str) -> str:
    return f"c:{conversion_goal_id}"


def conversion_goal_history_owner(conversion_goal_id: str) -> str:
    return f"k:{conversion_goal_id}"


def period_suffix(period_start_ms: int) -> str:
    return f"@{period_start_ms}"


def hour_suffix(occurred_at_ms: int) -> str:
    return f".{occurred_at_ms // HOUR_MS}"


def day_suffix(iso_date: str) -> str:
    return f"/{iso_date}"


def exact_value(whole: int, millionths: int) -> Decimal:
    """The decimal that `v` and `u` hold together."""
    return Decimal(whole) + Decimal(millionths) / MICRO
