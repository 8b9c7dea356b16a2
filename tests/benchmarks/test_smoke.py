"""The benchmark works and counts right; how fast is measured by `make bench`, never asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import growth, harness, plots, table


@pytest.mark.kafka
def test_scorekeeper_and_a_bare_loop_count_what_was_written(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str
) -> None:
    harness.define(sqlite_url)
    parts = harness.publish(kafka_bootstrap, tmp_path, redis_url, 3_000, seed=5)
    assert harness.run_script(parts, "bare_aiokafka", parts.count.naive).is_right
    assert harness.run_scorekeeper(parts, sqlite_url).is_right


def test_a_wrong_counter_is_marked_wrong() -> None:
    wrong = table.summarise([harness.Result(1.0, 1.0, 1.0, True), harness.Result(1.0, 1.0, 1.0, False)])
    assert table.rows({"contenders": {"one": wrong}})[0][-1] == "WRONG"


def test_the_folds_cost_is_measured_and_drawn() -> None:
    cost = growth.Fold(200, projects=3, per_project=10).cpu()
    assert cost > 0
    assert "<polyline" in plots.lines("cost", "definitions", {"fold": [(30, cost), (300, cost)]})
