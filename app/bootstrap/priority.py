"""Who counts a backlog gives way to who reads, where both share cores: nobody sees it when a backlog ends a little
later, and everybody sees a list that takes twice as long.

By Linux's autogroups, which share the cores out among sessions: a process may lower its session's weight and raise it
again, where its own priority, once lowered, stays low. In a container the weight of the container counts in its place.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

BACKLOG: Final = 10_000
"""Messages behind; fewer are counted at once, and as soon as can be."""
GIVING_WAY: Final = 10
"""A tenth of the usual weight, as `nice` has it."""
_USUAL: Final = 0


def own_group() -> Path | None:
    """Of this process's session; None where others are in it: a terminal's, say, which would become slow too."""
    return Path("/proc/self/autogroup") if os.getsid(0) == os.getpid() else None


class Priority:
    """Of the session with this group. Does nothing without one, and where the kernel has no autogroups."""

    def __init__(self, group: Path | None) -> None:
        self._group = group
        self._is_low = False

    def adapt_to(self, lag: int) -> None:
        """Give way while so many messages are to be counted, else not. May be repeated."""
        is_low = lag > BACKLOG
        if self._group is None or is_low == self._is_low:
            return
        try:
            self._group.write_text(str(GIVING_WAY if is_low else _USUAL))
        except BlockingIOError:
            return  # The kernel allows ten changes a second on the whole machine: at the next report.
        except OSError as error:
            log.debug("no priority below the usual one: %s", error)
            self._group = None
            return
        self._is_low = is_low
