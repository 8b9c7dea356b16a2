"""A worker whose wall clock jumps: `python -m tests.faults.jumping_worker FILE` is as many seconds ahead as FILE says.
Protections named after it are taken out.

Whatever asks for the time of day in the process gets that; clocks that only measure are left alone, as they are when a
machine's clock is set.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

_true_time = time.time
_ahead = 0.0


def _time() -> float:
    return _true_time() + _ahead


def _follow(file: Path) -> None:
    global _ahead
    while True:
        text = file.read_text() if file.exists() else ""
        _ahead = float(text or 0)
        time.sleep(0.02)


if __name__ == "__main__":
    # Before the first import of what asks for the time.
    time.time = _time
    threading.Thread(target=_follow, args=(Path(sys.argv[1]),), daemon=True).start()
    from tests.faults.sabotage import sabotage

    sabotage(sys.argv[2:])
    from agents.__main__ import main

    sys.exit(main())
