"""What a load needs: workers, partitions, shards, memory and network, from what an event costs. Pure arithmetic.

The costs were measured (docs/performance.md says how); machines differ, so that each can be given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

BUSY: Final = 0.6
"""The share of a core that is planned for: the rest is for peaks, and for catching up after a failure."""
CATCH_UP_PARTITIONS: Final = 2
"""Partitions a worker, so that another worker can be added, or one be lost, without a new topic."""
LARGE_SHARD_GIB: Final = 32
SECONDS_A_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured on one core of the benchmark's machine, with a quarter of the events matching."""

    cpu_seconds_per_million_unmatched: float = 3.5
    cpu_seconds_per_million_matched: float = 8.0
    redis_seconds_per_million_conversions: float = 4.0
    bytes_per_id: float = 12.0
    """Of a remembered event id, or a unique subject."""
    bytes_per_goal: float = 210.0
    """Totals of a goal and its conversion goal."""
    bytes_per_goal_hour: float = 145.0
    """History of both, for each hour in which something was counted."""
    network_bytes_per_conversion: float = 25.0
    """From the worker to Redis."""


MEASURED: Final = Costs()


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in. `match_share` is the share of the events that are conversions."""

    events_per_second: float
    match_share: float
    goals: int
    event_bytes: int = 300
    window_days: float = 7.0
    history_days: float = 90.0
    unique_subjects: int = 0
    """Members of all unique goals' sets, and of `once_per_session` and `once_per_visitor`, together."""


@dataclass(frozen=True, slots=True)
class Need:
    """What it needs, planned for BUSY cores."""

    cpu_seconds_per_million: float
    workers: int
    partitions: int
    shards: int
    redis_bytes: float
    kafka_bytes_per_second: float
    redis_bytes_per_second: float

    @property
    def redis_gib(self) -> float:
        return self.redis_bytes / 2**30

    def remarks(self) -> tuple[str, ...]:
        """What the numbers do not say by themselves."""
        found = []
        if self.redis_gib / self.shards > LARGE_SHARD_GIB:
            found.append(
                f"{self.redis_gib / self.shards:.0f} GiB a shard is much to copy at a fail-over: take more shards, or "
                "a shorter deduplication window (most of the memory is event ids)"
            )
        if self.shards > 1:
            found.append(
                f"set SCOREKEEPER_STRIPES to a multiple of {self.shards} before the first event (or rebuild): a stripe "
                "lives on one shard, and a project in one stripe"
            )
        if self.shards > 100:
            found.append("beyond some hundred stripes a batch's pieces become small: split by project into deployments")
        if self.workers > 200:
            found.append("beyond some hundred workers one consumer group rebalances slowly: use several topics")
        return tuple(found)


def plan(load: Load, costs: Costs = MEASURED) -> Need:
    """What the load needs. Raises ValueError when it is none: negative, or a share beyond 0 to 1."""
    if not (0 <= load.match_share <= 1 and load.events_per_second >= 0 and load.goals >= 0):
        raise ValueError("events and goals are not negative, and a share is between 0 and 1")
    matched, per_second = load.match_share, load.events_per_second
    cpu = costs.cpu_seconds_per_million_matched * matched + costs.cpu_seconds_per_million_unmatched * (1 - matched)
    conversions = per_second * matched
    workers = max(1, math.ceil(per_second * cpu / 1e6 / BUSY))
    shards = max(1, math.ceil(conversions * costs.redis_seconds_per_million_conversions / 1e6 / BUSY))
    # Ids are remembered for one window at least, and for two at most.
    ids = conversions * 2 * load.window_days * SECONDS_A_DAY
    memory = (ids + load.unique_subjects) * costs.bytes_per_id
    memory += load.goals * (costs.bytes_per_goal + costs.bytes_per_goal_hour * 24 * load.history_days)
    return Need(
        cpu_seconds_per_million=cpu,
        workers=workers,
        partitions=workers * CATCH_UP_PARTITIONS,
        shards=shards,
        redis_bytes=memory,
        kafka_bytes_per_second=per_second * load.event_bytes,
        redis_bytes_per_second=conversions * costs.network_bytes_per_conversion,
    )
