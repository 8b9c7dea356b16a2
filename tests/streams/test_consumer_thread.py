"""What is done in the driver's thread."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from app.streams.consumer_thread import ConsumerThread
from app.streams.runs import read_runs

ZERO, ONE = TP("events", 0), TP("events", 1)


class Watched(ConsumerThread):
    """A thread that has run for long, committed nothing, and whose partition has a message that is not fetched yet."""

    def __init__(self) -> None:
        state = SimpleNamespace(highwater=8, position=7)
        assignment = SimpleNamespace(state_value=lambda _: state)
        subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self._fetching = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
        app = SimpleNamespace(
            monitor=SimpleNamespace(stream_inbound_time={ZERO: 9_999.0}),
            topics=SimpleNamespace(acks_enabled_for=lambda _: True),
        )
        self.consumer = cast(Any, SimpleNamespace(app=app))
        self.time_started = 0.0
        self.tp_last_committed_at = {}
        self.tp_stream_timeout_secs = self.tp_commit_timeout_secs = 300.0
        self.complaints: list[str] = []

    def _log_slow_processing_commit(self, msg: str, *args: Any) -> None:
        self.complaints.append(msg)

    def _ensure_consumer(self) -> Any:
        return self._fetching

    def _verify_aiokafka_event_path(self, now: float, tp: TP) -> bool:
        return False


def test_what_is_waiting_when_its_partition_is_sought_is_of_before() -> None:
    fetcher = SimpleNamespace(_records={})
    read_runs(cast(Any, fetcher)).bare |= {ZERO: (0, 5), ONE: (0, 5)}
    thread = Watched()
    thread._seeks_done = {}
    thread._fetching = cast(Any, SimpleNamespace(_fetcher=fetcher, seek=lambda *_: None))
    thread._seek_if_assigned(ZERO, 0, 1)
    assert read_runs(fetcher).bare == {ONE: (0, 5)}


def test_a_seek_while_the_worker_ends_is_no_crash() -> None:
    thread = Watched()
    thread.thread_loop = asyncio.new_event_loop()
    thread.thread_loop.close()
    thread.seek_soon(ZERO, 0, 1)
    thread.stay_a_member()


def test_a_worker_is_not_called_stuck_because_it_committed_nothing() -> None:
    """Messages come all the time, so that one is always on its way, and a worker of some minutes would complain."""
    thread = Watched()
    super(ConsumerThread, thread).verify_event_path(10_000.0, ZERO)
    assert thread.complaints
    thread.complaints.clear()
    thread.verify_event_path(10_000.0, ZERO)
    assert thread.complaints == []
