"""Ports for what a test starts: handed out once, and outside of those that the system takes for connections.

Between the choice of a port and the start of who listens there seconds may pass; what is free by chance another test
process, or a connection of anybody's, may have taken meanwhile.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import count
from typing import Final

FIRST: Final = 12_000
EACH: Final = 1_000
"""So many for each test process, which none comes near to."""
PROCESSES: Final = 18


def _candidates() -> Iterator[int]:
    """In turn: those of this process, of which others of this run have none."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % PROCESSES
    start = os.getpid() % EACH
    for number in count():
        yield FIRST + EACH * process + (start + number) % EACH


_next = _candidates()


def free_port() -> int:
    """A port of the loopback address that nobody listens on, and that is not handed out again."""
    for port in _next:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError
