"""What a load needs."""

from __future__ import annotations

import pytest

from app.domain.sizing import Costs, Load, plan


def test_a_small_load_needs_one_of_each() -> None:
    need = plan(Load(1_000, 0.25, 100))
    assert (need.workers, need.partitions, need.shards) == (1, 2, 1)
    assert need.remarks() == ()


def test_what_matches_costs_more() -> None:
    costs = Costs(cpu_seconds_per_million_matched=10, cpu_seconds_per_million_unmatched=2)
    assert [plan(Load(1e6, share, 0), costs).cpu_seconds_per_million for share in (0, 0.5, 1)] == [2, 6, 10]


def test_workers_and_shards_grow_with_the_load() -> None:
    small, large = (plan(Load(rate, 0.25, 100)) for rate in (1e5, 1e7))
    assert large.workers == pytest.approx(100 * small.workers, rel=1)
    assert large.shards > small.shards == 1
    assert any("SCOREKEEPER_STRIPES" in remark for remark in large.remarks())


def test_memory_is_ids_of_two_windows_and_the_goals_history() -> None:
    costs = Costs(bytes_per_id=10, bytes_per_goal=100, bytes_per_goal_hour=1)
    load = Load(10, 0.5, goals=3, window_days=1, history_days=2, unique_subjects=7)
    assert plan(load, costs).redis_bytes == 10 * (5 * 2 * 86_400 + 7) + 3 * (100 + 48)


@pytest.mark.parametrize("load", [Load(-1, 0.5, 1), Load(1, 1.5, 1), Load(1, 0.5, -1)])
def test_what_is_no_load_is_refused(load: Load) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        plan(load)
