"""The settings of the Faust app that the counts stand on."""

from __future__ import annotations

from pathlib import Path

from app.streams.faust_app import make_app
from app.streams.options import KafkaOptions


def test_what_counts_stand_on_is_set(tmp_path: Path) -> None:
    options = KafkaOptions("127.0.0.1:9", ("events",), "group", "test", session_timeout_seconds=2.0)
    conf = make_app(options, tmp_path).conf
    assert conf.broker_session_timeout == 2.0, "another worker takes over when this is over"
    assert conf.broker_heartbeat_interval < conf.broker_session_timeout / 3
    assert conf.consumer_auto_offset_reset == "none", "what the log does not hold any more is told, not skipped"
    assert conf.consumer_metadata_max_age_ms == 5_000, "added partitions are found"
