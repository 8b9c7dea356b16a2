"""The watchdog: a worker whose checkpoints do not move while there is lag is stuck, and must not live on so. Pure.

It does not bark while a store is known to be away: then waiting is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Advice(Enum):
    """What the worker should do now."""

    GO_ON = "go on"
    READ_AGAIN = "read again"
    """Seek every partition to its checkpoint: the reader may have lost its place."""
    END = "end"
    """Reading again did not help: end with an error, for the supervisor to start another one."""


class Watchdog:
    """Told the state again and again. Times are seconds of any steady clock."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._checkpoints: dict[Any, int] = {}
        self._stuck_since: float | None = None
        self._has_read_again = False

    def look(self, now: float, partitions: Mapping[Any, tuple[int, int]], *, is_waiting: bool) -> Advice:
        """`partitions`: (checkpoint, end) of each assigned one; `is_waiting`: for a store that does not answer."""
        lagging = {name: checkpoint for name, (checkpoint, end) in partitions.items() if checkpoint < end}
        moved = any(self._checkpoints.get(name) != checkpoint for name, checkpoint in lagging.items())
        self._checkpoints = {name: checkpoint for name, (checkpoint, _) in partitions.items()}
        if not lagging or moved or is_waiting or self._stuck_since is None:
            self._stuck_since = now
            if not lagging or moved:
                self._has_read_again = False
            return Advice.GO_ON
        if now - self._stuck_since < self._patience:
            return Advice.GO_ON
        self._stuck_since = now
        if self._has_read_again:
            return Advice.END
        self._has_read_again = True
        return Advice.READ_AGAIN
