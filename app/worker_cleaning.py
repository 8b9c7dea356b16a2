"""What a worker drops since nobody looks into it any more: old deduplication memory, and backfills that ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.refreshing import CatalogRefresher
from app.stores.redis import RedisCounters

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 3_600.0


class Cleaning:
    """Of one worker. Coroutines that may be repeated; raise StoreUnavailable, GenerationMissing.

    `store`: of the opened generation, which may be another one after each wait.
    """

    def __init__(self, catalog: CatalogRefresher, store: Callable[[], RedisCounters]) -> None:
        self._catalog = catalog
        self._store = store
        self._due_at = 0.0

    async def clean_up(self) -> None:
        """Once an hour; soon after the start for the first time."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + CLEAN_UP_SECONDS
        await self._drop_old_memory()
        await self._drop_ended_backfills()

    async def _drop_old_memory(self) -> None:
        fresh = await self._store().freshness()
        complete_up_to = min((at for at, _, _ in fresh.values()), default=0)
        dropped = await self._store().forget_ids_before(complete_up_to)
        if dropped:
            log.info("dropped %d sets of event ids that are older than the deduplication window", dropped)

    async def _drop_ended_backfills(self) -> None:
        """Names first, definitions then: one that begins in between is not taken for one that ended."""
        names = await self._store().backfill_names()
        await self._catalog.refresh()
        for name in names - self._catalog.current.backfills.keys():
            await self._store().drop_backfill(name)
            log.info("dropped the backfill %s, which ended", name)
