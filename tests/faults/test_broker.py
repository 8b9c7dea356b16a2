"""A broker that stops, dies, freezes and comes back. Kafka of its own, since it is broken here."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from app.streams.topics import Topics
from tests.faults.site import IS_LONG, SESSION_SECONDS, MakeSite, in_time, long_only, seconds_until
from tests.servers.brokers import ApacheKafka, has_java

pytestmark = [
    pytest.mark.faults,
    pytest.mark.kafka,
    pytest.mark.skipif(not has_java(), reason="Apache Kafka needs Java and Maven"),
]

RECOVERY_SECONDS = 10.0
LINES_A_MINUTE = 10
AWAY_SECONDS = 60.0 if IS_LONG else 12.0
"""Longer than requests and sessions."""


def stop_for_long(kafka: ApacheKafka) -> None:
    kafka.stop()
    time.sleep(AWAY_SECONDS)
    kafka.start()


def kill_and_start(kafka: ApacheKafka) -> None:
    kafka.kill()
    kafka.start()


def freeze(kafka: ApacheKafka) -> None:
    kafka.pause()
    # Longer than the workers' sessions; a question that nobody answers is the clock.
    with pytest.raises(Exception, match=r".*"):
        Topics(kafka.bootstrap, timeout_seconds=SESSION_SECONDS * 2).names()
    kafka.resume()


@pytest.mark.parametrize("fault", [pytest.param(stop_for_long, marks=long_only), kill_and_start, freeze])
def test_a_broker_that_comes_back_loses_nothing(
    make_own_site: MakeSite, kafka: ApacheKafka, fault: Callable[[ApacheKafka], None]
) -> None:
    site = make_own_site(seed=41)
    begun = time.monotonic()
    workers = site.start_workers(2)
    site.publish(1500)
    fault(kafka)
    back_at = time.monotonic()
    site.publish(500)
    site.wait_until_counted()
    took = time.monotonic() - back_at
    sys.stdout.write(f"counted {took:.2f} s after the broker's return\n")
    assert took < in_time(RECOVERY_SECONDS)
    assert [worker.exit_code() for worker in workers] == [None, None]
    assert site.differences() == []
    minutes = 1 + (time.monotonic() - begun) // 60
    for worker in workers:
        assert not _chatter(worker.log, LINES_A_MINUTE * minutes)


def _chatter(log: Path, most: float) -> dict[str, int]:
    """Lines that were logged more often than that."""
    counted = Counter(line[9:100] for line in log.read_text().splitlines() if line[:2].isdigit())
    return {line: number for line, number in counted.items() if number > most}


def test_a_worker_that_starts_without_a_broker_waits_for_it(make_own_site: MakeSite, kafka: ApacheKafka) -> None:
    site = make_own_site(seed=42)
    site.publish(300)
    kafka.stop()
    worker = site.start_worker()
    seconds_until(lambda: worker.log.exists() and "Starting" in worker.log.read_text(), 90, "the start")
    kafka.start()

    def start_again() -> None:
        # Ending with an error is as good as waiting: a supervisor starts it again.
        if not site.running():
            assert site.workers[-1].exit_code() != 0
            site.start_worker()

    site.wait_until_counted(meanwhile=start_again)
    assert site.differences() == []
