"""The benchmark works and counts right; how fast is measured by `make bench`, never asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import harness


@pytest.mark.kafka
def test_scorekeeper_and_a_bare_loop_count_what_was_written(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str
) -> None:
    harness.define(sqlite_url)
    parts = harness.publish(kafka_bootstrap, tmp_path, redis_url, 3_000, seed=5)
    assert harness.run_script(parts, "bare_aiokafka", parts.count.naive).is_right
    assert harness.run_scorekeeper(parts, sqlite_url).is_right
