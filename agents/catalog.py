"""What a worker does beside counting: know the definitions, keep them new, report, fill what is behind, and send what
receipts were left."""

from __future__ import annotations

from typing import Any

from app.bootstrap.collecting import freeze_what_is_loaded
from app.worker import app, worker

faust: Any = app


async def start() -> None:
    """Know the definitions before the first record."""
    await worker.parts.start()
    await worker.catalog_watch.look()
    freeze_what_is_loaded()


faust.task(start)
faust.task(worker.keep_refreshing)
faust.task(worker.follow_nudges)
faust.task(worker.keep_reporting)
faust.task(worker.keep_filling)
faust.task(worker.keep_sending_receipts)
