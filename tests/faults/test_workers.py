"""Workers that die, freeze, wake up, join and leave."""

from __future__ import annotations

import signal
import sys
import time

import psutil
import pytest

from tests.end_to_end.processes import eventually
from tests.faults.site import TAKEOVER_SECONDS, MakeSite, in_time, long_only

pytestmark = [pytest.mark.faults, pytest.mark.kafka]


def test_a_killed_workers_partitions_are_counted_by_another_in_time(make_site: MakeSite) -> None:
    site = make_site(seed=11)
    first, second = site.start_workers(2)
    site.publish(1500)
    killed_at = time.monotonic()
    first.kill()
    site.publish(500)
    site.wait_until_counted()
    took = time.monotonic() - killed_at
    sys.stdout.write(f"counted by another {took:.2f} s after the kill\n")
    assert took < in_time(TAKEOVER_SECONDS)
    eventually(lambda: len(site.owners().get(second.pid, [])) == 4, what="all partitions")
    assert site.differences() == []


def test_kills_at_any_moment_change_no_count(make_site: MakeSite) -> None:
    site = make_site(seed=12)
    site.start_workers(2)
    for _ in range(3):
        site.publish(700)
        site.running()[0].kill()
        site.start_worker()
    site.publish(300)
    site.wait_until_counted()
    assert site.differences() == []


def test_a_worker_without_partitions_stands_by(make_site: MakeSite) -> None:
    site = make_site(seed=16, partitions=1)
    first = site.start_worker()
    site.wait_until_joined(first)
    second = site.start_worker()
    eventually(lambda: len(site.revisions()) == 2, 90, "the report of the worker without partitions")
    site.publish(300)
    first.kill()
    site.publish(300)
    site.wait_until_counted()
    assert second.exit_code() is None
    assert site.differences() == []


def test_a_frozen_worker_that_wakes_up_is_fenced(make_site: MakeSite) -> None:
    site = make_site(seed=13, SCOREKEEPER_POLL_RECORDS="25")
    # With a batch in its hands that it has folded and not applied, for another to count meanwhile.
    first = site.start_worker("tests.faults.crashing_worker", "SIGSTOP", "apply", "3")
    site.publish(600)
    eventually(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED, 90, "the frozen worker")
    second = site.start_worker()
    site.publish(900)
    site.wait_until_counted()
    first.signal(signal.SIGCONT)
    site.publish(600)
    site.wait_until_counted()
    eventually(lambda: len(site.owners()) == 2, 60, "the woken worker's partitions")
    assert first.exit_code() is None
    assert second.exit_code() is None
    assert site.differences() == []


def test_progress_goes_on_through_a_storm_of_rebalances(make_site: MakeSite) -> None:
    site = make_site(seed=14)
    site.start_workers(1)
    for round_number in range(3):
        joined = site.start_worker()
        site.publish(300)
        if round_number % 2:
            site.start_worker().signal(signal.SIGTERM)
        else:
            site.wait_until_joined(joined)
            joined.signal(signal.SIGTERM)
        site.publish(300)
    site.wait_until_counted()
    assert site.differences() == []


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("fold", marks=long_only),
        pytest.param("dead_letters", marks=long_only),
        "apply",
        "applied",
    ],
)
def test_a_crash_at_each_step_of_the_write_path_changes_no_count(make_site: MakeSite, step: str) -> None:
    # Many small batches, and new messages each time: how they are split is the broker's and the clock's business.
    site = make_site(seed=15, poison=0.05, SCOREKEEPER_POLL_RECORDS="25")
    for which in ("0", "3"):
        site.publish(400)
        crashing = site.start_worker("tests.faults.crashing_worker", "SIGKILL", step, which)
        assert site.wait_until_ended(crashing) == -signal.SIGKILL
    site.start_worker()
    site.wait_until_counted()
    assert site.differences() == []


def test_a_defect_ends_its_worker_which_says_so_and_another_counts_on(make_site: MakeSite) -> None:
    site = make_site(seed=17)
    site.publish(400)
    defective = site.start_worker("tests.faults.crashing_worker", "DEFECT", "apply", "1")
    assert site.wait_until_ended(defective) == 1
    assert "ValueError: a defect" in defective.log.read_text()
    site.start_worker()
    site.wait_until_counted()
    assert site.differences() == []
