"""A worker that ends or freezes itself, or has a defect: `python -m tests.faults.crashing_worker SIGKILL|SIGSTOP|DEFECT
STEP N` does it when it comes to STEP, after N times. The hook is handed in where everything is wired; production has
none. Protections named after N are taken out.
"""

from __future__ import annotations

import os
import signal
import sys

from app import bootstrap
from config.logging import set_up
from tests.faults.sabotage import sabotage


class Killer:
    """A hook that sends this process a signal, or raises, once."""

    def __init__(self, what: str, step: str, time: int) -> None:
        self._what, self._step, self._left = what, step, time

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == -1 and self._what == "DEFECT":
                raise ValueError("a defect")
            if self._left == -1:
                os.kill(os.getpid(), signal.Signals[self._what])


def main() -> int:
    what, step, time, *protections = sys.argv[1:]
    sabotage(protections)
    hook = Killer(what, step, int(time))

    def worker_parts() -> bootstrap.WorkerParts:
        settings = bootstrap.load_settings()
        set_up(settings)
        return bootstrap.WorkerParts(settings, hook)

    bootstrap.worker_parts = worker_parts
    from agents.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
