"""Protections of the reading that can be taken out: of the log, of the definitions, of clocks, and what is logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tests.faults.taking_out import after, after_start, never, nothing, put, with_settings


def no_seek() -> None:
    """Read on from Kafka's committed offsets after a rebalance, and wherever the reader is after anything else."""
    from faust.transport.consumer import ThreadDelegateConsumer
    from faust.types import TP

    from app.streams.consumer import BatchConsumer
    from app.tracking import Tracker

    assign_again = Tracker.assign_again

    async def told_nothing(self: Tracker) -> Mapping[Any, int]:
        await assign_again(self)
        return {}

    async def seek_to_committed(self: Any) -> Mapping[TP, int]:
        starts: Mapping[Any, int] = await ThreadDelegateConsumer.seek_to_committed(self)
        await self.partitions.starts(list(starts))
        self._position = {tp: max(0, offset) for tp, offset in starts.items()}
        return starts

    put(BatchConsumer, "seek_to_committed", seek_to_committed)
    put(BatchConsumer, "rewind", lambda *_: None)
    put(Tracker, "assign_again", told_nothing)
    after(Tracker, "track", lambda _, outcome: replace(outcome, seek_to=None, recount=False))


class _NoLock:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def anyone_assigns() -> None:
    from app.streams.partitions import TrackedPartitions
    from app.tracking import Tracker

    after_start(Tracker, lambda tracker: setattr(tracker, "_assigning", _NoLock()))
    after_start(TrackedPartitions, lambda partitions: setattr(partitions, "_starting", _NoLock()))


def no_second_look_at_a_gap() -> None:
    from app.streams.consumer import BatchConsumer

    hand_on = BatchConsumer._hand_on

    async def hand_on_at_once(self: Any, tp: Any, run: Sequence[Any]) -> None:
        self._gap_seen[tp] = (self._position.get(tp), run[0].offset)
        await hand_on(self, tp, run)

    put(BatchConsumer, "_hand_on", hand_on_at_once)


def sessions_that_hardly_end() -> None:
    with_settings(broker_session_timeout=60.0, broker_rebalance_timeout=60.0, broker_request_timeout=61.0)


def silent_resets() -> None:
    with_settings(consumer_auto_offset_reset="earliest")


def partitions_never_asked_for() -> None:
    with_settings(consumer_metadata_max_age_ms=3_600_000)


def nothing_bears_witness() -> None:
    """A log that has grown past what was counted is taken for the one that was counted."""

    from app.streams.partitions import TrackedPartitions

    put(TrackedPartitions, "heed", nothing)


def silent_losses() -> None:
    from app.streams.partitions import TrackedPartitions

    after_start(TrackedPartitions, lambda partitions: setattr(partitions, "_report_loss", nothing))


def topics_are_their_names() -> None:
    from app.streams.partitions import TrackedPartitions

    put(TrackedPartitions, "was_recreated", never)


def no_doubt_about_a_topic() -> None:
    from app.streams.consumer import BatchConsumer

    put(BatchConsumer, "_ask_for_another_topic", nothing)


def idle_consumers_leave() -> None:
    from app.streams.consumer_thread import ConsumerThread

    put(ConsumerThread, "stay_a_member", lambda _: None)


def no_watchdog() -> None:
    from app.domain.watchdog import Advice, Watchdog

    put(Watchdog, "look", lambda *_, **__: Advice.GO_ON)


# -- the definitions


def no_counting_without_the_database() -> None:
    from app.refreshing import CatalogRefresher

    async def reach(self: CatalogRefresher, received_at: int) -> None:
        await self._refresh_beyond(received_at)

    put(CatalogRefresher, "reach", reach)


def counting_by_an_old_catalog() -> None:
    from app.refreshing import CatalogRefresher

    put(CatalogRefresher, "reach", nothing)


def what_is_not_settled_is_trusted() -> None:
    from app.stores import sql

    put(sql, "as_of", lambda _, now: now)


def late_commits_begin_early() -> None:
    from app.stores.sql import SqlDefinitions

    put(SqlDefinitions, "_settle", lambda *_: True)


def no_polling() -> None:
    from app import refreshing

    put(refreshing, "REFRESH_SECONDS", 3_600.0)


def no_sweep_of_outboxes() -> None:
    from app.worker import Worker

    put(Worker, "keep_sending_receipts", nothing)


# -- clocks, and what is logged


def the_machines_clock() -> None:
    from app.stores.redis_signals import RedisSignals

    async def now(_: RedisSignals) -> int:
        return int(time.time() * 1000)

    put(RedisSignals, "now", now)


def no_log_limit() -> None:
    from config.logging import RateLimit

    put(RateLimit, "filter", lambda *_: True)


READING: Final[Mapping[str, Callable[[], None]]] = {
    "seek": no_seek,
    "last-assignment": anyone_assigns,
    "second-look": no_second_look_at_a_gap,
    "session-timeout": sessions_that_hardly_end,
    "no-reset": silent_resets,
    "new-partitions": partitions_never_asked_for,
    "told-losses": silent_losses,
    "witnesses": nothing_bears_witness,
    "topic-id": topics_are_their_names,
    "topic-doubt": no_doubt_about_a_topic,
    "membership": idle_consumers_leave,
    "watchdog": no_watchdog,
    "last-catalog": no_counting_without_the_database,
    "new-catalog": counting_by_an_old_catalog,
    "settled-catalog": what_is_not_settled_is_trusted,
    "late-commit": late_commits_begin_early,
    "redis-clock": the_machines_clock,
    "log-limit": no_log_limit,
}
WORKERS_ONLY: Final[Mapping[str, Callable[[], None]]] = {"polling": no_polling, "outbox-sweep": no_sweep_of_outboxes}
"""Of what a worker does beside counting: there is nothing of it in a test's own process."""
