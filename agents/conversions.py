"""The agent that counts: the batches of a partition one after another, each counted for good before the next.

Batches of different partitions overlap: while Redis applies one, the next is folded. The only loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any

from app.streams.batches import RecordBatch
from app.streams.turns import Turns
from app.tracking import Batch
from app.worker import app, worker

faust: Any = app
log = logging.getLogger(__name__)

MOST_UNDER_WAY = 3
"""One is folded, one is applied, and one may have to wait for the one before it of its partition."""


async def track_conversions(batches: Any) -> None:
    """Nothing raises out of here because of what a message holds: Faust would lose the batch."""
    turns = Turns(MOST_UNDER_WAY, _end_worker_on_defect)
    try:
        async for message in batches.events():
            batch: RecordBatch = message.value
            await turns.begin(batch.tp, partial(track_batch, batch))
    finally:
        turns.cancel()


faust.agent(app.topic(*worker.topics), name="conversions", concurrency=1)(track_conversions)


def _end_worker_on_defect(task: asyncio.Task[None]) -> None:
    # A defect of ours: another worker, or the next start of this one, begins at the checkpoint.
    error = None if task.cancelled() else task.exception()
    if error is not None:
        worker.exit_code = 1
        log.error("the worker ends", exc_info=error)
        faust.add_future(faust.crash(error))


async def track_batch(batch: RecordBatch) -> None:
    """Count the batch; when it does not begin where the counters end, read on from there."""
    position = worker.partitions.position(batch.tp)
    if position is None or batch.seeks != worker.consumer.seeks(batch.tp):
        return
    begun = time.perf_counter()
    outcome = await worker.tracker.track(Batch(position, batch.start, batch.next_offset, batch.records))
    worker.reports.observe(position, outcome, time.perf_counter() - begun)
    if outcome.seek_to is not None:
        log.info("reading %s again from offset %d", position.name, outcome.seek_to)
        worker.recovery.rewind(list(worker.partitions.positions) if outcome.recount else [batch.tp])
