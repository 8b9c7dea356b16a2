"""Where a generation begins to count, when that is not the first message that the log ever held.

Offsets are remembered, and not only the moment that they were found by: what is counted again, or goes on, has to begin
at the very same message, and a broker that is asked for a moment again may name another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from app.domain.increments import Position

Span: TypeAlias = tuple[int, int]
"""The first offset, and the one after the last."""
Spans: TypeAlias = Mapping[Position, Span]
"""What a log holds, or what is to be read of it, per position."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A generation counts as if the log began here, at each position."""

    since: int | None = None
    """What came before this moment (epoch ms) is not counted; None: whatever the log holds is."""
    offsets: Mapping[str, int] = field(default_factory=dict)
    """Name of a position -> the first offset that counts. One that is not named, such as that of a partition that was
    added later, begins with the log."""
    left_out_up_to: int | None = None
    """Events received at or before this moment (epoch ms) are left out, or were not in the log any more; None: nothing
    is known to be missing."""

    def of(self, position: Position) -> int:
        return self.offsets.get(position.name, 0)

    def within(self, spans: Spans) -> dict[Position, Span]:
        """The part that counts of what the log holds: per position its first offset, and its end."""
        return {position: (min(max(first, self.of(position)), end), end) for position, (first, end) in spans.items()}


WHOLE_LOG: Final = Beginning()
"""Of a generation that counts all that the log holds."""
