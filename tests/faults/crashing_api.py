"""An HTTP API that dies between the commit of a definition and the nudge: `python -m tests.faults.crashing_api N`.

It comes back N times, as by a supervisor. Each life is a fork of this process, which has imported everything already.
"""

from __future__ import annotations

import os
import signal
import sys

from api.__main__ import serve
from app.bootstrap import load_settings
from app.embedded.process import _die_with_parent
from app.stores.redis_signals import RedisSignals
from config.logging import set_up


async def _die(_: RedisSignals, revision: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    settings = load_settings()
    for _ in range(int(sys.argv[1])):
        life = os.fork()
        if life == 0:
            _die_with_parent()
            set_up(settings)
            # The first thing after the commit.
            setattr(RedisSignals, "publish", _die)  # noqa: B010  # a method, to mypy, is not assigned to
            os._exit(serve(settings))
        os.waitpid(life, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
