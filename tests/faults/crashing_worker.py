"""A worker that kills itself: `python -m tests.faults.crashing_worker STEP N` dies when it comes to STEP for the N-th
time. The hook is handed in where everything is wired; production has none. Protections named after N are taken out.
"""

from __future__ import annotations

import os
import signal
import sys

from app import bootstrap
from config.logging import set_up
from tests.faults.sabotage import sabotage


class Killer:
    """A hook that ends this process as SIGKILL does."""

    def __init__(self, step: str, time: int) -> None:
        self._step, self._left = step, time

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    sabotage(sys.argv[3:])
    hook = Killer(sys.argv[1], int(sys.argv[2]))

    def worker_parts() -> bootstrap.WorkerParts:
        settings = bootstrap.load_settings()
        set_up(settings)
        return bootstrap.WorkerParts(settings, hook)

    bootstrap.worker_parts = worker_parts
    from agents.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
