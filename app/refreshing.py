"""Keeps a worker's catalog as new as the records that it counts. SQL is asked in a thread, never in the event loop.

A version is committed at least TRUSTED_MS before it acts, or begins later, which its writer settles: until then the
source says that it was read before that (see DefinitionHistory). So a catalog read at moment t is right for all records
received before t + TRUSTED_MS, and records that are older than that (a backlog) never wait. While records come that are
as new as that, the source is asked ahead of them (`is_pressing`), so that they do not wait either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from app.domain.catalog import EMPTY, Catalog, build_catalog
from app.domain.history import TRUSTED_MS
from app.errors import StoreUnavailable
from app.ports import DefinitionSource

log = logging.getLogger(__name__)

PAUSE_AFTER_FAILURE_SECONDS = 1.0
PRESSING_SECONDS = 5.0
REFRESH_SECONDS = 1.0
REFRESH_AHEAD_SECONDS = TRUSTED_MS / 1000 / 2
LOOK_FOR_RETURN_SECONDS = 0.05


class CatalogRefresher:
    """Implements CatalogKeeper over a DefinitionSource. `on_change` is told each catalog that takes over."""

    def __init__(
        self,
        source: DefinitionSource,
        *,
        allowance_ms: int = 1_000,
        on_change: Callable[[Catalog], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._allowance_ms = allowance_ms
        self._on_change = on_change
        self._current: Catalog = EMPTY
        self._known_at = 0
        self._failed_at: float | None = None
        self._pressed_at: float | None = None
        self._lock = asyncio.Lock()

    @property
    def current(self) -> Catalog:
        return self._current

    @property
    def known_at(self) -> int:
        """The database's clock when the current catalog was last found to be the newest; epoch ms."""
        return self._known_at

    @property
    def is_out_of_touch(self) -> bool:
        """Whether the source did not answer when it was last asked: what was committed since then is not known."""
        return self._failed_at is not None

    @property
    def is_pressing(self) -> bool:
        """Whether a record came lately for which the catalog had to be as new as can be: more of them are likely."""
        return self._pressed_at is not None and time.monotonic() - self._pressed_at < PRESSING_SECONDS

    async def refresh(self) -> None:
        """Ask for the newest revision and load it when it is another. Raises StoreUnavailable."""
        async with self._lock:
            await self._ask()

    async def _refresh_beyond(self, received_at: int) -> None:
        """As `refresh`, but partitions that wait together ask once."""
        async with self._lock:
            if self._current is EMPTY or not self._is_known(received_at):
                await self._ask()

    async def _ask(self) -> None:
        try:
            revision, as_of = await asyncio.to_thread(self._source.revision)
            if revision != self._current.revision:
                # A database that was away, or went back, may have come from a backup: what it holds now says nothing of
                # what changed since this catalog was read.
                follows = revision > self._current.revision and not self.is_out_of_touch
                since = self._current.revision if follows and self._current is not EMPTY else None
                history = await asyncio.to_thread(self._source.history, since)
                catalog = await asyncio.to_thread(build_catalog, history, self._current)
                self._use(catalog)
                as_of = catalog.as_of
        except StoreUnavailable:
            self._failed_at = time.monotonic()
            raise
        self._known_at = as_of
        self._failed_at = None

    def _is_known(self, received_at: int) -> bool:
        """Whether all that acts on records received then is in the current catalog."""
        return received_at < self._known_at + TRUSTED_MS

    def _use(self, catalog: Catalog) -> None:
        for left_out in catalog.left_out:
            if left_out.is_in_force:
                log.error("definition %s is left out: %s", left_out.version.id, left_out.problem)
            else:
                log.info("an earlier version of definition %s is left out: %s", left_out.version.id, left_out.problem)
        self._current = catalog
        self._on_change(catalog)

    async def reach(self, received_at: int) -> None:
        if received_at >= self._known_at:
            self._pressed_at = time.monotonic()
        if self._current is EMPTY:
            # By no definitions at all every event would be rejected, for good.
            await self._refresh_beyond(received_at)
        if self._is_known(received_at):
            return
        while not self._has_just_failed():
            try:
                await self._refresh_beyond(received_at)
            except StoreUnavailable as error:
                log.warning("counting goes on with catalog revision %d: %s", self._current.revision, error)
                return
            ahead_ms = received_at - self._known_at - TRUSTED_MS
            if ahead_ms < 0:
                return
            if ahead_ms > self._allowance_ms:
                log.warning("a broker timestamp is more than %d ms ahead of the database's clock", self._allowance_ms)
                return
            await asyncio.sleep(ahead_ms / 1000 + 0.005)

    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and time.monotonic() - self._failed_at < PAUSE_AFTER_FAILURE_SECONDS


class CatalogWatch:
    """Looks for a new revision beside counting, and has it told at once by `tell` that there is one; so too that the
    database is away, or is back."""

    def __init__(self, catalog: CatalogRefresher, tell: Callable[[], Awaitable[None]]) -> None:
        self._catalog = catalog
        self._tell = tell
        self._was_out_of_touch = False

    async def look(self) -> None:
        """Load a new revision if there is one. Stores that are away are logged."""
        before = self._catalog.current.revision, self._was_out_of_touch
        try:
            await self._catalog.refresh()
        except StoreUnavailable as error:
            log.warning("the catalog stays at revision %d: %s", self._catalog.current.revision, error)
        if (self._catalog.current.revision, self._catalog.is_out_of_touch) != before:
            self._was_out_of_touch = self._catalog.is_out_of_touch
            try:
                await self._tell()
            except StoreUnavailable as error:
                log.warning("cannot report: %s", error)

    def pause_seconds(self) -> float:
        """Until the next look: ahead of the records while new ones come; when the database is away, for its return as
        fast as may be."""
        if self._catalog.is_out_of_touch:
            return LOOK_FOR_RETURN_SECONDS
        return REFRESH_AHEAD_SECONDS if self._catalog.is_pressing else REFRESH_SECONDS
