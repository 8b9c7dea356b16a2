"""The pipeline's state, as `scorekeeper status`, the API, its metrics and the page show it: one reading for all."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from app.bootstrap.accounting import fates_by_project, is_balanced, partition_rows
from app.bootstrap.parts import Parts
from app.domain.beginning import Spans
from app.domain.loss import with_moments
from app.domain.moments import rfc3339
from app.errors import GenerationMissing, NotFound, StoreUnavailable
from app.sharing import retrieve
from app.stores.generations import GenerationState
from app.stores.redis import RedisCounters
from app.stores.redis_client import as_store_errors, ask_every_server

KEPT_SECONDS = 0.8
LOG_SECONDS = 5.0
SILENT_LOG_SECONDS = 1.0
LOG_TIMEOUT_SECONDS = 0.8
POLICY_SECONDS = 5.0
KEEPS_KEYS = "noeviction"


async def pipeline_status(parts: Parts, spans: Spans | None) -> dict[str, Any]:
    """Everything there is to say of the pipeline, JSON-ready. Raises StoreUnavailable.

    `spans` is what the log holds now; without it (Kafka does not answer) ends and lags are as workers last saw them.
    """
    workers = await parts.signals.workers()
    projects = [project.key for project in await asyncio.to_thread(parts.definitions.projects)]
    revision, _ = await asyncio.to_thread(parts.definitions.revision)
    found: dict[str, Any] = {
        "partitions": [],
        "projects": fates_by_project([], projects),
        "workers": [{"id": name, **report} for name, report in sorted(workers.items())],
        "freshAsOf": None,
        "rebuilding": True,
        "generation": None,
        "generations": await _generations(parts, spans),
        "losses": [],
        "revision": revision,
        "logAnswers": spans is not None,
    }
    try:
        counters = await parts.counters()
        stripes = await counters.snapshot(["cp", "acct", *(f"p:{key}" for key in projects)])
        fresh = await counters.freshness()
        losses = await counters.losses()
    except GenerationMissing:
        stripes, fresh, losses = [], {}, []
    else:
        since = min((at for at, _, _ in fresh.values()), default=0)
        found["freshAsOf"] = rfc3339(since or None)
        found["rebuilding"] = since < counters.generation.created_at
        found["generation"] = counters.generation.number
    found["partitions"] = partition_rows(stripes, fresh, spans, now=int(time.time() * 1000))
    _agree(found)
    found["projects"] = fates_by_project(stripes, projects)
    found["losses"] = [with_moments(loss) for loss in losses]
    found["lag"] = sum(row["lag"] for row in found["partitions"])
    for row in (*found["partitions"], *found["projects"].values()):
        row["balanced"] = is_balanced(row)
    return found


async def read_spans(parts: Parts) -> Spans | None:
    """What the log holds; None when Kafka does not answer or a topic is missing."""
    try:
        return await parts.spans()
    except (StoreUnavailable, NotFound):
        return None


async def _generations(parts: Parts, spans: Spans | None) -> list[dict[str, Any]]:
    rows = []
    active = await parts.generations.active_number()
    for state in await parts.generations.states():
        row: dict[str, Any] = {
            "number": state.number,
            "shown": state.number == active,
            "createdAt": rfc3339(state.created_at),
            "finished": state.is_finished,
            "countedAt": rfc3339(state.counted_at),
            "since": rfc3339(state.since),
        }
        if spans is not None:
            row["counted"], row["messages"], row["leftOut"] = await _counted(parts, state, spans)
        rows.append(row)
    return rows


def _agree(found: dict[str, Any]) -> None:
    """Of the generation that is shown the partitions know more, and no two figures may differ."""
    for row in found["generations"]:
        if row["shown"] and "counted" in row:
            row["messages"] = sum(one["end"] - one["first"] for one in found["partitions"]) - row["leftOut"]
            row["counted"] = row["messages"] - sum(one["lag"] for one in found["partitions"])


async def _counted(parts: Parts, state: GenerationState, spans: Spans) -> tuple[int, int, int]:
    """How many of the log's messages the generation has counted, of how many, and how many it leaves out."""
    try:
        counters = RedisCounters(parts.redis, await parts.generations.get(state.number))
        found = dict(zip(spans, map(min, await counters.checkpoints(list(spans))), strict=True))
    except StoreUnavailable:
        return 0, _held(spans), 0
    # The brokers were asked a while ago, and the log has grown: as far as anything was counted, at least.
    spans = {position: (first, max(end, found[position])) for position, (first, end) in spans.items()}
    due = counters.beginning.within(spans)
    counted = sum(max(found[position], first) - first for position, (first, _) in due.items())
    return counted, _held(due), _held(spans) - _held(due)


def _held(spans: Spans) -> int:
    return sum(end - first for first, end in spans.values())


class PipelineReader:
    """Readings for any number of askers: at most one a second is made, and the log is asked more seldom."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._spans = _KnownSpans(parts)
        self._policies = _KnownPolicies(parts)
        self._reading: asyncio.Task[dict[str, Any]] | None = None
        self._read_at = 0.0
        self._is_silent = False

    async def read(self) -> dict[str, Any]:
        """Not older than a second; not to be changed. Raises StoreUnavailable."""
        if self._reading is None or (self._reading.done() and time.monotonic() - self._read_at > KEPT_SECONDS):
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(retrieve)
        return await asyncio.shield(self._reading)

    async def _read(self) -> dict[str, Any]:
        # Workers tell the ends all the time; when they are silent, only the brokers know how the lag grows.
        kept_seconds = SILENT_LOG_SECONDS if self._is_silent else LOG_SECONDS
        try:
            found = await pipeline_status(self._parts, await self._spans.get(kept_seconds))
        finally:
            self._read_at = time.monotonic()
        self._is_silent = not any(worker["alive"] for worker in found["workers"])
        return {**found, "evictionPolicies": await self._policies.get()}


class _KnownSpans:
    """What the log holds, as the brokers said last."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._spans: Spans | None = None
        self._asking: asyncio.Task[Spans | None] | None = None
        self._asked_at = float("-inf")

    async def get(self, kept_seconds: float) -> Spans | None:
        """Asked for again once they are older; None while the brokers do not answer. Who asks waits a moment for the
        answer at most, and has the last one then."""
        if time.monotonic() - self._asked_at > kept_seconds and self._asking is None:
            self._asking = asyncio.create_task(read_spans(self._parts))
        if self._asking is not None:
            # Brokers that are away are waited for in the background, not by every reading.
            done, _ = await asyncio.wait([self._asking], timeout=LOG_TIMEOUT_SECONDS if self._spans is None else 0.5)
            if done:
                asked, self._asking = self._asking, None
                self._asked_at = time.monotonic()
                self._spans = asked.result()
        return self._spans


class _KnownPolicies:
    """What Redis does when it is full, of each server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._policies: list[str] | None = None
        self._asked_at = float("-inf")

    async def get(self) -> list[str] | None:
        """None where it does not tell."""
        if time.monotonic() - self._asked_at > POLICY_SECONDS:
            try:
                with as_store_errors():
                    answers = await ask_every_server(self._parts.redis, "CONFIG GET", "maxmemory-policy")
                self._policies = sorted({str(answer.get("maxmemory-policy", KEEPS_KEYS)) for answer in answers})
            except StoreUnavailable:
                self._policies = None
            self._asked_at = time.monotonic()
        return self._policies
