"""Every metric of the product: name, unit and meaning, in this one file. Labels are bounded: no ids, no project names.

The worker and the API serve them at /metrics in Prometheus' text format.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

EVENTS: Final = Counter(
    "scorekeeper_events", "Events by fate: counted, unmatched, duplicate, rejected.", ["fate"], registry=REGISTRY
)
REJECTED: Final = Counter(
    "scorekeeper_rejected_events", "Events that can never be counted, by reason.", ["reason"], registry=REGISTRY
)
BATCHES: Final = Counter("scorekeeper_batches", "Batches applied to the counters.", registry=REGISTRY)
BATCH_EVENTS: Final = Histogram(
    "scorekeeper_batch_events",
    "Events in a batch.",
    buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000),
    registry=REGISTRY,
)
BATCH_SECONDS: Final = Histogram(
    "scorekeeper_batch_seconds",
    "Seconds from a batch's arrival at the agent until it is counted for good.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
    registry=REGISTRY,
)
LAG: Final = Gauge(
    "scorekeeper_partition_lag_messages",
    "Messages of an assigned partition that are not counted yet.",
    ["topic", "partition"],
    registry=REGISTRY,
)
FRESHNESS: Final = Gauge(
    "scorekeeper_partition_fresh_timestamp_seconds",
    "Up to this broker time (Unix seconds) the partition is counted.",
    ["topic", "partition"],
    registry=REGISTRY,
)
CATALOG_REVISION: Final = Gauge("scorekeeper_catalog_revision", "The catalog revision in use.", registry=REGISTRY)
CATALOG_AGE: Final = Gauge(
    "scorekeeper_catalog_age_seconds", "Seconds since the catalog was found to be the newest.", registry=REGISTRY
)
DEAD_LETTERS: Final = Counter("scorekeeper_dead_letters", "Dead letters written.", registry=REGISTRY)
LOST: Final = Counter(
    "scorekeeper_lost_messages", "Messages that left the log before they were counted.", registry=REGISTRY
)
RESEEKS: Final = Counter(
    "scorekeeper_rereads", "Times a partition was read again from its checkpoint.", registry=REGISTRY
)
HTTP_SECONDS: Final = Histogram(
    "scorekeeper_http_seconds",
    "Seconds an HTTP request took, by route and status class.",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
    registry=REGISTRY,
)
STREAMS: Final = Gauge("scorekeeper_event_streams", "Open event streams.", registry=REGISTRY)
