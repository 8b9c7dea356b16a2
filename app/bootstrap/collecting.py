"""The garbage collector: it need not look at what was made at the start, which stays."""

from __future__ import annotations

import gc


def freeze_what_is_loaded() -> None:
    """Call it once, when everything is loaded: 18 to 30% more events a second (docs/performance.md)."""
    gc.collect()
    gc.freeze()


def collect_what_requests_leave() -> None:
    """Call it once, when everything is loaded, where requests are answered: libraries leave circles of objects, and of
    what lives for seconds, as streams do, they are found within minutes; at the package's own thresholds, within days.
    """
    freeze_what_is_loaded()
    gc.set_threshold(5_000, 10, 10)
