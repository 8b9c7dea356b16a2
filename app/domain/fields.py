"""The names of counters: who owns one, and what its fields are called. One place, so that writers and readers agree.

Owner `g:<goal>`            totals and periods of a goal
Owner `h:<goal>`            its history: one field an hour and one a day
Owner `c:<conversion goal>` totals of a conversion goal; `k:<conversion goal>` its history
Owner `f:<backfill>:…`      the same of a backfill, which has owners of its own; `f:<backfill>:state` how far it is
Owner `x:<experiment>`      one experiment; `y:<project>` which experiments and variants of a project are known

Of an experiment: `e|<variant>` subjects exposed, `t|<variant>` when it was seen first (epoch ms), `crossed` subjects
that saw several variants; and with the suffix `|<conversion goal>|<variant>`: `n` conversions, `s` subjects that
converted, `v` and `u` their value. Of a project: `k|<key>` and `v|<experiment>|<variant>` what is known, `#` and
`#<experiment>` how many, `refused` whether any was beyond the limit (not how often).

Of all others, field = letter + suffix. Letters: `n` conversions (or unique subjects), `v` and `u` the whole part and
the millionths of their value, `d` the denominator of a rate, `last` the newest occurred-at. Suffixes: nothing for the
total, `@<ms>` for the period that starts at that epoch millisecond, `.<hour>` for an hour since the epoch, `/<day>` for
a day (ISO date in the project's time zone).
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Final

HOUR_MS: Final = 3_600_000
MICRO: Final = 1_000_000
LAST: Final = "last"
CROSSED: Final = "crossed"
REFUSED: Final = "refused"

STATE: Final = "state"
"""How far a backfill is: by position's name, offsets `done` of `total`, that it `joined` live counting there, and where
the log held no more, the time `since` which it did. `filled` when it joined everywhere: from then on it is shown."""
DONE: Final = "done "
TOTAL: Final = "total "
JOINED: Final = "joined "
SINCE: Final = "since "
FILLED: Final = "filled"


def goal_owner(goal_id: str) -> str:
    return f"g:{goal_id}"


def goal_history_owner(goal_id: str) -> str:
    return f"h:{goal_id}"


def in_backfill(name: str, owner: str) -> str:
    """What an owner of a backfill's own counting is called from outside."""
    return f"f:{name}:{owner}"


def conversion_goal_owner(conversion_goal_id: str) -> str:
    return f"c:{conversion_goal_id}"


def conversion_goal_history_owner(conversion_goal_id: str) -> str:
    return f"k:{conversion_goal_id}"


def experiment_id(project: str, key: str) -> str:
    """A name of bounded length for an experiment: keys are other people's texts."""
    return blake2b(f"{len(project)}:{project}{key}".encode(errors="surrogatepass"), digest_size=16).hexdigest()


def experiment_owner(ident: str) -> str:
    return f"x:{ident}"


def experiments_owner(project: str) -> str:
    return f"y:{project}"


def variant_suffix(conversion_goal_id: str, variant: str) -> str:
    return f"|{conversion_goal_id}|{variant}"


def period_suffix(period_start_ms: int) -> str:
    return f"@{period_start_ms}"


def hour_suffix(occurred_at_ms: int) -> str:
    return f".{occurred_at_ms // HOUR_MS}"


def day_suffix(iso_date: str) -> str:
    return f"/{iso_date}"


def exact_value(whole: int, millionths: int) -> Decimal:
    """The decimal that `v` and `u` hold together."""
    return Decimal(whole) + Decimal(millionths) / MICRO
