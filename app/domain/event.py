"""The event: a parsed, valid fact. Parsing lives in `parsing.py`, foreign forms in `formats.py`.

A struct of msgspec's and not a dataclass, because one is built per message and it is built five times faster.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from app.domain.properties import decode_data


class Event(msgspec.Struct, frozen=True, gc=False):
    """One fact, as `parse_message` returns it. Never changed after it was built.

    Times are epoch milliseconds, UTC. `data` is the raw JSON object of the event's properties (b"{}" when absent); it
    is kept raw because only the text is exact, and read through `properties`.
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
    """The id of the event that this one takes back (`$retract`) or restates (`$restate`), else None. All other fields
    are those of the event that is corrected."""
    restated: bytes | msgspec.Raw | None = None
    """The raw properties that hold from now on, in place of `data` (`$restate`), else None."""
    decoded: Mapping[str, object] | None = None
    """`data` decoded, when parsing has decoded it already. Read `properties` instead."""

    @property
    def subject(self) -> str | None:
        """Who: the user, else the visitor."""
        return self.user_id or self.visitor_id

    @property
    def properties(self) -> Mapping[str, object]:
        """`data` decoded; see `decode_data`."""
        return self.decoded if self.decoded is not None else decode_data(self.data)
