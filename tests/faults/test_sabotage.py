"""A test of the tests: with a protection taken out, the scenario that it protects must fail.

The quick form takes it out of the write path in one process; the long form (SCOREKEEPER_TEST_LONG=1) out of real
workers too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.sabotage import SABOTAGES

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
CONTRACT = "tests/stores/test_counters_contract.py::"
REDIS = "tests/stores/test_redis_counters.py::"
TRACKING = "tests/test_tracking.py::"

QUICK = [
    ("compare-and-set", CONTRACT + "test_the_same_batch_again_changes_nothing[redis 7]"),
    ("compare-and-set", CONTRACT + "test_a_batch_folded_from_another_checkpoint_changes_nothing[redis 7-0]"),
    ("deduplication", CONTRACT + "test_an_id_is_remembered_through_the_next_epoch[redis 7-epochs1-1]"),
    ("deduplication", TRACKING + "test_any_order_and_any_repetition_of_events_counts_the_same"),
    ("seek", TRACKING + "test_one_fault_of_the_store_changes_no_count[5-rollback]"),
    ("seek", TRACKING + "test_one_fault_of_the_store_changes_no_count[5-missing]"),
    ("hole-check", TRACKING + "test_one_fault_of_the_store_changes_no_count[5-rollback]"),
    ("hole-check", TRACKING + "test_a_hole_is_not_counted_but_read_again"),
    ("dead-letters-first", TRACKING + "test_dead_letters_are_written_before_the_checkpoint_moves"),
    ("dead-letters-first", TRACKING + "test_while_dead_letters_cannot_be_written_the_partition_waits"),
    ("log-limit", "tests/config/test_logging.py::test_ten_lines_a_minute_pass_per_cause_and_the_rest_are_counted"),
    ("lost-writes", TRACKING + "test_a_store_that_lost_writes_is_noticed_without_a_batch"),
    ("undo", REDIS + "test_a_key_of_another_type_stops_the_batch_before_anything_changes[s:o:cg]"),
]
LONG = [
    ("compare-and-set", "test_redis.py::test_an_answer_that_is_lost_after_execution_counts_nothing_twice[lost]"),
    ("compare-and-set", "test_workers.py::test_a_frozen_worker_that_wakes_up_is_fenced"),
    ("deduplication", "test_workers.py::test_kills_at_any_moment_change_no_count"),
    ("seek", "test_redis.py::test_after_redis_recovers_every_count_is_exact[go_back]"),
    ("hole-check", "test_redis.py::test_after_redis_recovers_every_count_is_exact[go_back]"),
    ("topic-doubt", "test_topics.py::test_of_a_recreated_topic_nothing_is_read_at_the_old_offsets"),
    ("log-limit", "test_redis.py::test_an_outage_is_told_ten_times_a_minute_and_takes_no_memory"),
    ("lost-writes", "test_redis.py::test_what_an_idle_log_lost_in_redis_is_counted_again_without_a_new_message"),
    ("dead-letters-first", "test_workers.py::test_a_crash_at_each_step_of_the_write_path_changes_no_count[applied]"),
]


def run_without(protection: str, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The test's outcome with the protection taken out."""
    options = ["-p", "tests.faults.sabotage", "--sabotage", protection, "-p", "no:cacheprovider", "-q", "--tb=short"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, test],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def assert_it_failed(done: subprocess.CompletedProcess[str]) -> None:
    """Because of what it asserts, and not because it could not run."""
    assert done.returncode == 1, f"the test passes without the protection:\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
    assert " failed" in done.stdout
    assert " error" not in done.stdout.splitlines()[-1]


def test_every_protection_is_taken_out_once() -> None:
    assert {protection for protection, _ in (*QUICK, *LONG)} == set(SABOTAGES)


@pytest.mark.parametrize(("protection", "test"), QUICK)
def test_without_the_protection_the_scenario_fails(protection: str, test: str) -> None:
    assert_it_failed(run_without(protection, test))


@pytest.mark.kafka
@pytest.mark.skipif(os.environ.get("SCOREKEEPER_TEST_LONG") != "1", reason="long: set SCOREKEEPER_TEST_LONG=1")
@pytest.mark.parametrize(("protection", "test"), LONG)
def test_without_the_protection_real_workers_fail(protection: str, test: str, kafka_bootstrap: str) -> None:
    assert_it_failed(run_without(protection, f"tests/faults/{test}", SCOREKEEPER_TEST_KAFKA=kafka_bootstrap))
