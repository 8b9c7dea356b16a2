"""Workers whose wall clock is set, by hours and by weeks, forwards and backwards: what counts is the broker's clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.processes import eventually
from tests.faults.site import MakeSite

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

HOUR = 3_600
JUMPS = (HOUR, -HOUR, 60 * 24 * HOUR, -60 * 24 * HOUR, 0)


def test_a_clock_that_jumps_changes_no_count(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(seed=62)
    ahead = tmp_path / "ahead"
    jumping = site.start_worker("tests.faults.jumping_worker", str(ahead), forked=False)
    site.start_worker()
    eventually(lambda: len(site.owners()) == 2, 90, "two workers with partitions")
    for jump in JUMPS:
        ahead.write_text(str(jump))
        site.publish(200)
        if jump == -HOUR:
            for shard in site.redis_server.shards:
                shard.admin.flushall()
        site.wait_until_counted()
    assert site.differences() == []
    assert jumping.exit_code() is None


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_generation_that_was_begun_by_a_wrong_clock_is_as_fresh_as_any(
    make_site: MakeSite, tmp_path: Path, jump: int
) -> None:
    site = make_site(seed=63)
    ahead = tmp_path / "ahead"
    ahead.write_text(str(jump))
    site.start_worker("tests.faults.jumping_worker", str(ahead), forked=False)
    site.publish(200)
    site.wait_until_counted()
    now = site.redis_now_ms()
    assert abs(int(site.redis.hget("sk:generation:1", "created_at")) - now) < HOUR * 1000 / 2
    eventually(lambda: site.fresh_as_of() > now, 60, "freshness")
    assert site.fresh_as_of() < site.redis_now_ms() + 5_000
    assert site.differences() == []
