"""What a worker does beside counting: know the definitions, keep them new, and report."""

from __future__ import annotations

from typing import Any

from app.worker import app, worker

faust: Any = app


async def start() -> None:
    """Know the definitions before the first record."""
    await worker.parts.start()
    await worker.refresh_catalog()


faust.task(start)
faust.task(worker.keep_refreshing)
faust.task(worker.follow_nudges)
faust.task(worker.keep_reporting)
