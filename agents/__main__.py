"""Runs one worker: `python -m agents`. Ends with 0 when it was asked to, else with another code, for its supervisor."""

from __future__ import annotations

import sys
from typing import Any, cast

import faust
import mode.loop

import agents
from app.worker import app, worker


def main() -> int:
    """Block until the worker ends."""
    mode.loop.use("uvloop")
    # Importing the package registers the agents; the names say that it is meant.
    app.finalize()
    if not agents.__all__:
        return 1
    runner = faust.Worker(
        app,
        loglevel="WARNING",
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
        blocking_timeout=None,
    )
    # It writes control characters without a line's end, and the log's next line would be no JSON.
    cast(Any, runner).spinner = None
    try:
        cast(Any, runner).execute_from_commandline()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) and end.code else worker.exit_code
    return worker.exit_code


if __name__ == "__main__":
    sys.exit(main())
