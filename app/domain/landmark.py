"""Landmarks: offsets at which events of a project lie, so that those of a quiet one are found beside busy ones."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_LANDMARKS: Final = 60
"""Kept of each project, the newest."""


class Landmark(NamedTuple):
    """At this offset of the position of this name lies an event. A hint: it may be missing, doubled or stale."""

    position: str
    offset: int
