"""How large a share of what came in the last minute can never be counted. Pure: the time is a parameter.

A producer that broke shows here first: its events are kept as dead letters, where nobody looks until somebody says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

WINDOW_SECONDS: Final = 60.0
LEAST_EVENTS: Final = 100
"""Of fewer a share says nothing."""


class InvalidShare:
    """Told of each batch. Says at most once a minute that the share is above `warn_above` (0 to 1; 1 says nothing)."""

    def __init__(self, warn_above: float) -> None:
        self._warn_above = warn_above
        self._since = 0.0
        self._received = 0
        self._rejected: Counter[str] = Counter()
        self._has_told = False

    def add(self, now: float, received: int, rejected: Mapping[str, int]) -> str | None:
        """`now` in seconds of any steady clock; `rejected` by reason. The warning, when there is one to give."""
        if now - self._since >= WINDOW_SECONDS:
            self._since, self._received, self._has_told = now, 0, False
            self._rejected.clear()
        self._received += received
        self._rejected.update(rejected)
        share = self._rejected.total() / max(1, self._received)
        if self._has_told or self._received < LEAST_EVENTS or share <= self._warn_above:
            return None
        self._has_told = True
        reasons = ", ".join(f"{reason} {number}" for reason, number in self._rejected.most_common(3))
        return f"{share:.0%} of the last {self._received} events cannot be counted ({reasons})"
