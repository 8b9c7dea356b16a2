"""The console script begins here, and imports nothing of weight before Ctrl-C is seen to."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130
"""The exit code after Ctrl-C, of a command and of its start."""


def run() -> int:
    """Load the command line, run the command, return the exit code."""
    try:
        # Who starts it in the background may have it ignore Ctrl-C: then it goes on doing so.
        is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if is_heeded:
            signal.signal(signal.SIGINT, _end)
        from app.cli.main import run as run_command

        if is_heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run_command()
    except KeyboardInterrupt:
        return INTERRUPTED


def _end(*_: object) -> None:
    # There is nothing to close yet, and an exception may be lost in a package that is being imported.
    os._exit(INTERRUPTED)
