"""What is measured of stores and steps while they work: wrapped around them here, since they know no metrics."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from functools import cache
from time import perf_counter
from typing import Any

from sqlalchemy import Engine, event

from app import metrics
from app.domain.increments import Applied, Increments
from app.hooks import Hook
from app.ports import Reading, Wanted
from app.stores.redis import RedisCounters
from app.stores.redis_reader import RedisReader

_step: ContextVar[tuple[str, float] | None] = ContextVar("step", default=None)
_FIRST_STEP = "fold"
_LAST_STEP = "applied"

# Looked up once: a batch of one event would spend a tenth of its time on labels.
_step_seconds = cache(metrics.STEP_SECONDS.labels)
_redis_seconds = cache(metrics.REDIS_SECONDS.labels)


class StepClock:
    """A hook that observes how long each step takes. Batches overlap, each in a task and so a context of its own."""

    def __init__(self, inner: Hook) -> None:
        self._inner = inner

    def __call__(self, step: str) -> None:
        now = perf_counter()
        before = _step.get()
        if before is not None and step != _FIRST_STEP:
            _step_seconds(before[0]).observe(now - before[1])
        self._inner(step)
        _step.set(None if step == _LAST_STEP else (step, now))


class TimedReader(RedisReader):
    """Observes how long reads take."""

    async def read(self, wanted: Sequence[Wanted]) -> Reading:
        with metrics.timed(_redis_seconds("read")):
            return await super().read(wanted)


class TimedCounters(RedisCounters):
    """Observes how long batches take."""

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        with metrics.timed(_redis_seconds("apply")):
            return await super().apply(batch)


def observe_sql(engine: Engine) -> None:
    """Observe how long the engine's statements take."""

    def begin(connection: Any, *_: object) -> None:
        connection.info["begun"] = perf_counter()

    def end(connection: Any, *_: object) -> None:
        metrics.SQL_SECONDS.observe(perf_counter() - connection.info["begun"])

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
