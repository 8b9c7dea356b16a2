"""What a worker does beside counting: know the definitions, keep them new, and report."""

from __future__ import annotations

import gc
from typing import Any

from app.worker import app, worker

faust: Any = app


async def start() -> None:
    """Know the definitions before the first record."""
    await worker.parts.start()
    await worker.refresh_catalog()
    # What was made until now stays: the collector need not look at it again, and what a batch makes is freed by itself.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


faust.task(start)
faust.task(worker.keep_refreshing)
faust.task(worker.follow_nudges)
faust.task(worker.keep_reporting)
faust.task(worker.keep_filling)
faust.task(worker.keep_sending_receipts)
