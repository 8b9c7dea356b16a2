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
WORKERS: Final = 9


def _candidates() -> Iterator[int]:
    """In turn: those of this process, of which others of this run have none, and others that run beside it, begun one
    after the other, have other ones."""
    own = os.environ.get("PYTEST_XDIST_WORKER", f"gw{WORKERS + os.getpid() % WORKERS}")
    process = int(own.removeprefix("gw")) % (2 * WORKERS)
    for number in count(os.getpid() * 61):
        yield FIRST + EACH * process + number % EACH


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
