"""`scorekeeper doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import Parts
from app.cli.doctor import judge_clock, judge_default_project, judge_redis, judge_replay, judge_topic, judge_workers
from config.settings import Settings

DAY = 86_400_000


@pytest.fixture
def parts() -> Parts:
    return Parts(Settings(kafka="k:1"), "test")


@pytest.mark.parametrize(
    ("about", "verdicts"),
    [
        ({"maxmemory_policy": "noeviction", "aof_enabled": 1}, ["good", "good"]),
        ({"maxmemory_policy": "allkeys-lru", "aof_enabled": 1}, ["bad", "good"]),
        ({"maxmemory_policy": "noeviction", "aof_enabled": 0}, ["good", "warning"]),
        (
            {"maxmemory_policy": "noeviction", "aof_enabled": 1, "maxmemory": 100, "used_memory": 90},
            ["good", "good", "warning"],
        ),
        ({}, ["bad", "warning"]),
    ],
)
def test_redis_must_keep_what_it_is_given(about: dict[str, Any], verdicts: list[str]) -> None:
    found = list(judge_redis(about))
    assert [one.verdict for one in found] == verdicts
    assert all(one.remedy for one in found if one.verdict != "good")


@pytest.mark.parametrize(
    ("default", "verdicts", "said"),
    [(None, [], ""), ("shop", ["good"], "shop"), ("shpo", ["bad"], "no project with the id 'shpo'")],
)
def test_the_project_of_events_that_name_none_must_be_there(
    tmp_path: Path, default: str | None, verdicts: list[str], said: str
) -> None:
    given = {"kafka": "k:1", "database": f"sqlite:///{tmp_path / 'd.db'}", "default_project": default}
    parts = Parts(Settings.model_validate(given), "test")
    parts.database.migrate()
    parts.definitions.create_project("shop", "Shop", "UTC")
    found = list(judge_default_project(parts))
    assert [one.verdict for one in found] == verdicts
    assert all(said in one.found for one in found)
    parts.database.close()


@pytest.mark.parametrize(
    ("config", "verdicts"),
    [
        ({"message.timestamp.type": "LogAppendTime", "retention.ms": str(40 * DAY)}, ["good", "good"]),
        ({"message.timestamp.type": "CreateTime", "retention.ms": "-1"}, ["warning"]),
        ({"message.timestamp.type": "LogAppendTime", "retention.ms": str(7 * DAY)}, ["good", "warning"]),
        ({}, []),
    ],
)
def test_a_topic_must_be_kept_and_stamped(parts: Parts, config: dict[str, str], verdicts: list[str]) -> None:
    found = list(judge_topic(parts, "events", config))
    assert [one.verdict for one in found] == verdicts
    assert all(one.remedy for one in found if one.verdict != "good")


@pytest.mark.parametrize(
    ("config", "oldest_days", "verdicts"),
    [
        ({"retention.ms": str(40 * DAY)}, 10, ["good"]),
        ({"retention.ms": str(40 * DAY)}, 90, ["warning"]),
        ({"retention.ms": "-1"}, 900, []),
        ({"retention.ms": str(40 * DAY), "retention.bytes": "1000000"}, 10, ["warning", "good"]),
        ({"cleanup.policy": "compact"}, 10, ["bad"]),
        ({"retention.ms": str(40 * DAY)}, None, []),
        ({}, 10, []),
    ],
)
def test_what_a_rebuild_could_not_give_back_is_told(
    config: dict[str, str], oldest_days: int | None, verdicts: list[str]
) -> None:
    now = 1_800_000_000_000
    oldest = None if oldest_days is None else now - oldest_days * DAY
    found = list(judge_replay("events", config, oldest, now))
    assert [one.verdict for one in found] == verdicts
    assert all(one.remedy for one in found if one.verdict != "good")


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0.0, "good"), (-0.01, "good"), (30.0, "warning"), (-30.0, "warning")]
)
def test_a_clock_that_is_off_is_told(parts: Parts, seconds: float, verdict: str) -> None:
    found = judge_clock("Redis's clock", time.time() + seconds, parts)
    assert found.verdict == verdict
    assert not found.found.startswith("-0.0 ")


@pytest.mark.parametrize(
    ("report", "verdict", "said"),
    [
        ({"revision": 3, "topics": ["events", "more"]}, "good", "1 alive"),
        ({"revision": 2, "topics": ["events", "more"]}, "warning", "revision 3"),
        ({"revision": 3, "topics": ["events"]}, "warning", "w1 set to read other topics than events, more"),
        ({"revision": 3, "topics": ["events", "more", "old"]}, "warning", "w1 set to read other topics"),
        ({"revision": 3}, "good", "1 alive"),
    ],
)
def test_workers_must_be_up_to_date_and_read_the_same_topics(report: dict[str, Any], verdict: str, said: str) -> None:
    found = judge_workers({"w1": report}, 3, {"more", "events"})
    assert (found.verdict, said in found.found) == (verdict, True), found


def test_a_worker_must_live() -> None:
    assert judge_workers({}, 3, {"events"}).verdict == "bad"
