"""A test of the tests: with a protection taken out, the scenario that it protects must fail.

The quick form takes it out of one process, in scenarios of the write path, the stores and the reader; the long form
(SCOREKEEPER_TEST_LONG=1) out of real workers too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.sabotage import OPTIONS, SABOTAGES

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
CONTRACT = "tests/stores/test_counters_contract.py::"
REDIS = "tests/stores/test_redis_counters.py::"
TRACKING = "tests/test_tracking.py::"
LAWS = "tests/test_counting_laws.py::"
REFRESHING = "tests/test_refreshing.py::"
SETTLING = "tests/stores/test_settling.py::"
PARTITIONS = "tests/streams/test_partitions.py::"
SETTINGS = "tests/streams/test_faust_app.py::test_what_counts_stand_on_is_set"
GROUPS = 2
PLUGINS = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "xdist.plugin,pytest_asyncio.plugin,_hypothesis_pytestplugin",
}
"""The others take three quarters of the time of so short a run."""
OUTCOME = re.compile(r"(\d+) (\w+)")

QUICK: Mapping[str, Sequence[str]] = {
    "compare-and-set": [
        CONTRACT + "test_the_same_batch_again_changes_nothing[redis 7]",
        CONTRACT + "test_a_batch_folded_from_another_checkpoint_changes_nothing[redis 7-0]",
    ],
    "generation-record": [REDIS + "test_another_generation_of_the_same_number_is_refused"],
    "types-first": [REDIS + "test_a_key_of_another_type_stops_the_batch_before_anything_changes[wm]"],
    "undo": [REDIS + "test_a_key_of_another_type_stops_the_batch_before_anything_changes[s:o:cg]"],
    "deduplication": [
        CONTRACT + "test_an_id_is_found_in_the_epoch_before_and_the_one_after[redis 7-()-epochs1-1]",
        TRACKING + "test_any_order_and_any_repetition_of_events_counts_the_same",
    ],
    "both-windows": [
        CONTRACT + "test_an_id_is_found_in_the_epoch_before_and_the_one_after[redis 7-()-epochs2-1]",
        CONTRACT + "test_an_id_is_found_in_the_epoch_before_and_the_one_after[redis 7-(0, 1)-epochs2-1]",
        LAWS + "test_in_any_order_with_any_copies_on_any_partition_the_counts_are_the_same",
    ],
    "order-of-the-log": [LAWS + "test_however_the_log_is_split_into_batches_it_counts_the_same"],
    "own-checkpoints": [TRACKING + "test_a_stripe_that_goes_back_alone_is_counted_again_alone[5]"],
    "seek": [
        TRACKING + "test_one_fault_of_the_store_changes_no_count[5-rollback]",
        TRACKING + "test_one_fault_of_the_store_changes_no_count[5-missing]",
    ],
    "hole-check": [
        TRACKING + "test_one_fault_of_the_store_changes_no_count[5-rollback]",
        TRACKING + "test_a_hole_is_not_counted_but_read_again",
    ],
    "second-look": ["tests/streams/test_consumer.py::test_a_gap_is_read_once_more_before_it_is_believed"],
    "lost-writes": [TRACKING + "test_a_store_that_lost_writes_is_noticed_without_a_batch"],
    "repetition": [TRACKING + "test_a_store_that_never_answered_is_asked_until_it_does"],
    "dead-letters-first": [
        TRACKING + "test_dead_letters_are_written_before_the_checkpoint_moves",
        TRACKING + "test_while_dead_letters_cannot_be_written_the_partition_waits",
    ],
    "by-reference": [
        "tests/streams/test_dead_letters.py::test_a_letter_that_is_too_large_is_kept_by_reference_and_its_neighbours_"
        "whole[refused by the broker]"
    ],
    "poison": [TRACKING + "test_neighbours_of_poison_are_exact[0.5]"],
    "receipts-first": ["tests/test_receipting.py::test_a_crash_at_any_step_loses_no_receipt[times0-receipts]"],
    "last-assignment": [
        TRACKING + "test_counting_again_after_a_loss_does_not_replace_the_positions_of_a_rebalance",
        PARTITIONS + "test_a_slow_answer_for_earlier_partitions_does_not_replace_those_of_a_rebalance",
    ],
    "session-timeout": [SETTINGS],
    "no-reset": [SETTINGS],
    "new-partitions": [SETTINGS],
    "told-losses": [
        PARTITIONS + "test_what_retention_deleted_is_told_to_the_message",
        PARTITIONS + "test_what_a_cut_off_log_lacks_is_told_to_the_message",
    ],
    "witnesses": [PARTITIONS + "test_a_log_that_was_cut_below_what_was_counted_is_counted_from_there_once_it_is_told"],
    "topic-id": [PARTITIONS + "test_a_recreated_topic_is_read_from_its_start_and_nothing_is_lost"],
    "expected-positions": [REDIS + "test_counts_are_as_fresh_as_the_slowest_position_that_is_expected"],
    "reading-script": [REDIS + "test_a_redis_that_refuses_to_write_is_read_by_status_and_verify[_full]"],
    "redis-clock": [REDIS + "test_the_moment_is_that_of_redis_whatever_this_machines_clock_says"],
    "last-catalog": [REFRESHING + "test_counting_goes_on_when_the_database_is_away"],
    "new-catalog": [REFRESHING + "test_a_record_beyond_what_the_catalog_is_trusted_for_asks_the_database"],
    "settled-catalog": [SETTLING + "test_nobody_counts_beyond_what_its_writer_may_still_move[sqlite]"],
    "late-commit": ["tests/stores/test_settling.py::test_what_was_committed_too_late_begins_later[sqlite-definition]"],
    "watchdog": [
        "tests/domain/test_watchdog.py::test_a_checkpoint_that_stands_still_is_read_again_and_then_the_worker_ends"
    ],
    "log-limit": ["tests/config/test_logging.py::test_ten_lines_a_minute_pass_per_cause_and_the_rest_are_counted"],
}
LONG = [
    ("compare-and-set", "test_redis.py::test_an_answer_that_is_lost_after_execution_counts_nothing_twice[lost]"),
    ("compare-and-set", "test_workers.py::test_a_frozen_worker_that_wakes_up_is_fenced"),
    ("own-checkpoints", "test_redis.py::test_stripes_recover_each_by_itself[lose_one_stripe_of_three]"),
    ("own-checkpoints", "test_cluster.py::test_after_a_shard_recovers_every_count_is_exact[go_back-{sk:1:2}:gen]"),
    ("deduplication", "test_workers.py::test_kills_at_any_moment_change_no_count"),
    ("seek", "test_redis.py::test_after_redis_recovers_every_count_is_exact[go_back]"),
    ("hole-check", "test_redis.py::test_after_redis_recovers_every_count_is_exact[go_back]"),
    ("repetition", "test_redis.py::test_after_redis_recovers_every_count_is_exact[load]"),
    ("short-pauses", "test_redis.py::test_counting_goes_on_soon_after_redis_is_back"),
    ("membership", "test_redis.py::test_after_a_long_absence_of_redis_consumers_are_members_of_their_group_still"),
    ("session-timeout", "test_workers.py::test_a_killed_workers_partitions_are_counted_by_another_in_time"),
    ("no-reset", "test_topics.py::test_what_retention_deleted_before_it_was_counted_is_reported_to_the_message"),
    ("told-losses", "test_topics.py::test_what_retention_deleted_before_it_was_counted_is_reported_to_the_message"),
    ("told-losses", "test_topics.py::test_a_log_that_was_cut_off_is_reported_to_the_message"),
    (
        "witnesses",
        "test_cut_logs.py::test_a_log_that_was_cut_and_has_grown_past_what_was_counted_is_counted_from_the_cut[lives]",
    ),
    ("new-partitions", "test_topics.py::test_added_partitions_are_counted_from_their_start"),
    ("topic-id", "test_topics.py::test_of_a_recreated_topic_nothing_is_read_at_the_old_offsets"),
    ("topic-doubt", "test_topics.py::test_of_a_recreated_topic_nothing_is_read_at_the_old_offsets"),
    (
        "by-reference",
        "test_topics.py::test_a_message_too_large_for_the_dead_letter_topic_is_kept_by_reference_and_replayed_once",
    ),
    ("poison", "test_topics.py::test_poison_harms_no_neighbour_and_no_worker[0.01]"),
    ("last-catalog", "test_sql.py::test_counting_goes_on_while_the_database_is_locked"),
    ("new-catalog", "test_sql.py::test_definitions_that_change_under_traffic_act_to_the_millisecond"),
    ("polling", "test_api.py::test_every_definition_that_was_committed_reaches_the_workers"),
    ("redis-clock", "test_clocks.py::test_a_generation_that_was_begun_by_a_wrong_clock_is_as_fresh_as_any[3600]"),
    (
        "outbox-sweep",
        "test_receipts.py::test_what_is_left_is_sent_although_nothing_more_is_published_and_counting_again_repeats_the_same",
    ),
    ("log-limit", "test_outages.py::test_while_redis_is_away_it_is_told_ten_times_a_minute_and_takes_no_memory"),
    ("lost-writes", "test_redis.py::test_what_an_idle_log_lost_in_redis_is_counted_again_without_a_new_message"),
    ("dead-letters-first", "test_workers.py::test_a_crash_at_each_step_of_the_write_path_changes_no_count[applied]"),
]


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **PLUGINS, **environment},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def problems(protection: str, code: int, said: str, number: int) -> list[str]:
    """Empty when all of the tests failed, and because of what they assert, not because they could not run."""
    counts = {what: int(much) for much, what in OUTCOME.findall(said.splitlines()[-1])} if said else {}
    others = {"passed", "error", "errors", "skipped"} & counts.keys()
    if code == pytest.ExitCode.TESTS_FAILED and counts.get("failed") == number and not others:
        return []
    return [f"without {protection}, {counts} of {number} tests, where all must fail:\n{said[-3000:]}"]


def test_every_protection_is_taken_out() -> None:
    assert {*QUICK, *(protection for protection, _ in LONG)} == set(SABOTAGES)


@pytest.mark.parametrize("group", range(GROUPS))
def test_without_a_protection_its_scenarios_fail(group: int, kafka_bootstrap: str) -> None:
    asked = {protection: QUICK[protection] for protection in list(QUICK)[group::GROUPS]}
    done = run("tests.faults.without", json.dumps(asked), SCOREKEEPER_TEST_KAFKA=kafka_bootstrap)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    found = []
    for name, tests in asked.items():
        code, said = outcomes[name]
        found += problems(name, code, said, len(tests))
    assert not found, "\n".join(found)


@pytest.mark.kafka
@pytest.mark.skipif(os.environ.get("SCOREKEEPER_TEST_LONG") != "1", reason="long: set SCOREKEEPER_TEST_LONG=1")
@pytest.mark.parametrize(("protection", "test"), LONG)
def test_without_the_protection_real_workers_fail(protection: str, test: str, kafka_bootstrap: str) -> None:
    # The scenario itself in its short form.
    environment = {"SCOREKEEPER_TEST_KAFKA": kafka_bootstrap, "SCOREKEEPER_TEST_LONG": "0"}
    done = run(
        "pytest",
        "-p",
        "tests.faults.sabotage",
        *OPTIONS,
        "--sabotage",
        protection,
        f"tests/faults/{test}",
        **environment,
    )
    assert problems(protection, done.returncode, done.stdout, 1) == []
