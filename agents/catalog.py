"""What a worker does beside counting: keep its catalog new, and report."""

from __future__ import annotations

from app.worker import app, worker


@app.task
async def start() -> None:
    """Know the definitions before the first record."""
    await worker.parts.start()
    await worker.refresh_catalog()


@app.task
async def refresh_catalog() -> None:
    await worker.keep_refreshing()


@app.task
async def follow_nudges() -> None:
    await worker.follow_nudges()


@app.task
async def report() -> None:
    await worker.keep_reporting()
