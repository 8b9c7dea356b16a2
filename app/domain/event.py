"""The event: a parsed, valid fact. Parsing lives in `parsing.py`, foreign forms in `formats.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Event:
    """One fact, as `parse_message` returns it.

    Times are epoch milliseconds, UTC. `data` is the raw JSON object of the event's properties (b"{}" when absent),
    decoded only when a candidate definition asks for it.
    """

    type: str
    project: str
    id: str | None
    occurred_at: int
    received_at: int
    url: str | None = None
    user_id: str | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    data: bytes | msgspec.Raw = b"{}"
    experiments: Mapping[str, str] | None = None
    corrects: str | None = None
    """The id of the event that this one takes back (`$retract`) or restates (`$restate`), else None."""

    @property
    def subject(self) -> str | None:
        """Who: the user, else the visitor."""
        return self.user_id or self.visitor_id
