"""The agent that counts: one batch of records after another, each counted for good before the next. The only loop."""

from __future__ import annotations

import logging
from typing import Any

from app.streams.batches import RecordBatch
from app.tracking import Batch
from app.worker import app, worker

faust: Any = app

log = logging.getLogger(__name__)


async def track_conversions(batches: Any) -> None:
    """Nothing raises out of here because of what a message holds: Faust would lose the batch."""
    async for message in batches.events():
        await track_batch(message.value)


faust.agent(app.topic(*worker.topics), name="conversions", concurrency=1)(track_conversions)


async def track_batch(batch: RecordBatch) -> None:
    """Count the batch; when it does not begin where the counters end, read on from there."""
    position = worker.partitions.position(batch.tp)
    if position is None or batch.seeks != worker.consumer.seeks(batch.tp):
        return
    outcome = await worker.tracker.track(Batch(position, batch.start, batch.next_offset, batch.records))
    worker.observe(position, outcome)
    if outcome.seek_to is not None:
        log.info("reading %s again from offset %d", position.name, outcome.seek_to)
        worker.rewind(list(worker.partitions.positions) if outcome.recount else [batch.tp])
