"""Moments as people and programs outside write them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def rfc3339(at: int) -> str: ...
@overload
def rfc3339(at: int | None) -> str | None: ...
def rfc3339(at: int | None) -> str | None:
    """Epoch milliseconds as RFC 3339 in UTC with milliseconds; None stays None."""
    if at is None:
        return None
    return _text(at)


@lru_cache(maxsize=20_000)
def _text(at: int) -> str:
    # A list of goals has eight a goal, and most are the same ones again.
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
