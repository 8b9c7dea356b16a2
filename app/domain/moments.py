"""Moments as people and programs outside write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, overload

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""The moments that can be written, in epoch milliseconds: those of the years 1 to 9999."""


@overload
def rfc3339(at: int) -> str: ...
@overload
def rfc3339(at: int | None) -> str | None: ...
def rfc3339(at: int | None) -> str | None:
    """Epoch milliseconds as RFC 3339 in UTC with milliseconds; None stays None.

    Raises OverflowError for what lies before FIRST or after LAST.
    """
    if at is None:
        return None
    return _text(at)


@lru_cache(maxsize=20_000)
def _text(at: int) -> str:
    # A list of goals has eight a goal, and most are the same ones again.
    return (_EPOCH + at * _MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")
