"""The garbage collector of a process that folds: it need not look at what was made at the start, which stays."""

from __future__ import annotations

import gc


def freeze_what_is_loaded() -> None:
    """Call it once, when everything is loaded: 18 to 30% more events a second (docs/performance.md)."""
    gc.collect()
    gc.freeze()
