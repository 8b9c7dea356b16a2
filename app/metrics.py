"""Every metric of the product: name, unit and meaning, in this one file. Labels are bounded: no ids, no project names.

The worker and the API serve them at /metrics in Prometheus' text format, each those that it can know. What concerns the
whole deployment (partitions that nobody reads, workers that are gone) is the API's to tell: who is gone tells nothing.
`python -m app.metrics` prints docs/metrics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# When a series began doubles what is scraped, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the package says nothing of it

WORKER: Final = CollectorRegistry()
API: Final = CollectorRegistry()
BOTH: Final = (WORKER, API)

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)
PREFIX: Final = "scorekeeper_"

M = TypeVar("M", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True)
class Described:
    """What the reference says of a metric."""

    name: str
    kind: str
    unit: str
    labels: Sequence[str]
    meaning: str
    told_by: Sequence[str]


DESCRIBED: Final[list[Described]] = []


def _described(metric: M, name: str, meaning: str, unit: str, labels: Sequence[str], told_by: object) -> M:
    registries = told_by if isinstance(told_by, tuple) else (told_by,)
    for registry in registries:
        registry.register(metric)
    tellers = [name for name, registry in (("worker", WORKER), ("API", API)) if registry in registries]
    DESCRIBED.append(Described(PREFIX + name, type(metric).__name__.lower(), unit, labels, meaning, tellers))
    return metric


def _counter(name: str, meaning: str, unit: str, told_by: object, labels: Sequence[str] = ()) -> Counter:
    metric = Counter(PREFIX + name, meaning, labels, registry=None)
    return _described(metric, name + "_total", meaning, unit, labels, told_by)


def _gauge(name: str, meaning: str, unit: str, told_by: object, labels: Sequence[str] = ()) -> Gauge:
    return _described(Gauge(PREFIX + name, meaning, labels, registry=None), name, meaning, unit, labels, told_by)


def _histogram(
    name: str, meaning: str, unit: str, told_by: object, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
) -> Histogram:
    metric = Histogram(PREFIX + name, meaning, labels, registry=None, buckets=buckets)
    return _described(metric, name, meaning, unit, labels, told_by)


# ---------------------------------------------------------------- counting

EVENTS: Final = _counter(
    "events", "Events by fate: counted, unmatched, duplicate, rejected.", "events", WORKER, ["fate"]
)
REJECTED: Final = _counter(
    "rejected_events", "Events that can never be counted, by reason.", "events", WORKER, ["reason"]
)
BATCH_EVENTS: Final = _histogram(
    "batch_events",
    "Events in a batch; its count is the number of batches.",
    "events",
    WORKER,
    buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000, 20_000),
)
STEP_SECONDS: Final = _histogram(
    "step_seconds",
    "Time that a batch spends in each step: fold (parse and match), dead_letters, apply (until Redis has it).",
    "seconds",
    WORKER,
    ["step"],
)
DEAD_LETTERS: Final = _counter("dead_letters", "Dead letters written.", "messages", WORKER)
REREADS: Final = _counter("rereads", "Times that a partition was read again from its checkpoint.", "times", WORKER)
WAITING: Final = _gauge(
    "worker_waiting", "1 while a store that does not answer is asked again, else 0.", "yes or no", WORKER
)
CATALOG_CHECKED: Final = _gauge(
    "catalog_checked_timestamp_seconds",
    "When the worker last found its catalog to be the newest; 0 before the first time.",
    "Unix seconds, the database's clock",
    WORKER,
)
LEFT_OUT: Final = _gauge(
    "definitions_left_out", "Definitions that do not compile as they are now, and are left out.", "definitions", WORKER
)

# ---------------------------------------------------------------- partitions and the deployment

LAG: Final = _gauge(
    "partition_lag_messages",
    "Messages that are not counted yet. The worker tells of its partitions, the API of all.",
    "messages",
    BOTH,
    ["topic", "partition"],
)
CHECKPOINT: Final = _gauge(
    "partition_checkpoint_offset",
    "The next offset that is not counted yet.",
    "offset",
    BOTH,
    ["topic", "partition"],
)
FRESH: Final = _gauge(
    "partition_fresh_timestamp_seconds",
    "Up to this moment every message is counted; 0 when none was read yet.",
    "Unix seconds, the broker's clock",
    BOTH,
    ["topic", "partition"],
)
CATALOG_REVISION: Final = _gauge(
    "catalog_revision", "The worker: the catalog revision in use. The API: the newest one.", "revision", BOTH
)
READABLE: Final = _gauge(
    "pipeline_readable", "1 when the deployment's state could be read for this scrape, else 0.", "yes or no", API
)
WORKERS: Final = _gauge(
    "workers",
    "Workers heard of in the last ten minutes: alive (in the last five seconds) or silent.",
    "workers",
    API,
    ["state"],
)
KAFKA_ANSWERS: Final = _gauge("kafka_answers", "1 when the brokers tell the log's ends, else 0.", "yes or no", API)
REBUILDING: Final = _gauge(
    "rebuilding", "1 while the counting that is shown is filled from the log again, else 0.", "yes or no", API
)
GENERATION_COUNTED: Final = _gauge(
    "generation_counted_ratio", "How much of the log a generation has counted.", "0 to 1", API, ["generation"]
)
LOST: Final = _gauge(
    "lost_messages",
    "Messages that left the log before they were counted; of the generation that is shown.",
    "messages",
    API,
)
LOST_AT: Final = _gauge(
    "last_loss_timestamp_seconds",
    "When messages were last found to have left the log before they were counted; 0 when none have.",
    "Unix seconds, the worker's clock",
    API,
)
KEEPS_KEYS: Final = _gauge(
    "redis_keeps_keys",
    "1 when every Redis has maxmemory-policy noeviction, 0 when one would evict counters, NaN when it does not tell.",
    "yes or no",
    API,
)

# ---------------------------------------------------------------- stores and requests

REDIS_SECONDS: Final = _histogram(
    "redis_seconds",
    "Time until Redis answered: apply (a batch), read (goals with their counters).",
    "seconds",
    BOTH,
    ["operation"],
)
SQL_SECONDS: Final = _histogram("sql_seconds", "Time until the database answered a statement.", "seconds", BOTH)
HTTP_SECONDS: Final = _histogram(
    "http_seconds",
    "Time that an HTTP request took, by route and class of status; an event stream's is its whole life.",
    "seconds",
    API,
    ["route", "status"],
)
STREAMS: Final = _gauge("event_streams", "Open event streams.", "streams", API)
STREAMS_ENDED: Final = _counter(
    "event_streams_ended",
    "Event streams that the API ended: revoked (the key), slow (the client), closing (the API).",
    "streams",
    API,
    ["cause"],
)
ALERT_ATTEMPTS: Final = _counter(
    "alert_attempts",
    "Times that a webhook was called, by outcome: delivered, failed (and tried again later), given_up.",
    "times",
    API,
    ["outcome"],
)

# A counter that appears with its first event has no rate for it.
for _fate in ("counted", "unmatched", "duplicate", "rejected"):
    EVENTS.labels(_fate)
for _outcome in ("delivered", "failed", "given_up"):
    ALERT_ATTEMPTS.labels(_outcome)


_shown: Final[dict[Gauge, set[tuple[str, ...]]]] = {}


def show_only(gauge: Gauge, values: Mapping[tuple[object, ...], float]) -> None:
    """Set the gauge for these labels, and take away the others; never empty in between, since a scrape may come."""
    wanted = {tuple(map(str, labels)): value for labels, value in values.items()}
    for labels, value in wanted.items():
        gauge.labels(*labels).set(value)
    for gone in _shown.get(gauge, set()) - set(wanted):
        gauge.remove(*gone)
    _shown[gauge] = set(wanted)


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe how long the block takes, when it succeeds."""
    begun = perf_counter()
    yield
    histogram.observe(perf_counter() - begun)


def reference() -> str:
    """The metrics as a page of the documentation."""
    lines = [
        "# Metrics",
        "",
        "<!-- Made by `python -m app.metrics`; a test holds it to the code. -->",
        "",
        "In Prometheus' text format at `/metrics` of the API, and of each worker on `SCOREKEEPER_METRICS_PORT`.",
        "No label holds a project or an id. Alert rules and a Grafana board are in `config/monitoring/`;",
        "`docker compose --profile monitoring up` starts both.",
        "",
        "| metric | kind | unit | labels | told by | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for one in DESCRIBED:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        tellers = " and ".join(one.told_by)
        lines.append(f"| `{one.name}` | {one.kind} | {one.unit} | {labels} | {tellers} | {one.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
