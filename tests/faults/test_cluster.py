"""A Redis Cluster of three shards, of which one is killed, frozen, emptied, rolled back, full, or answers too late.

The other faults run on a cluster too: `make test-cluster`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.stores.generations import stripe_prefix
from tests.end_to_end.processes import eventually
from tests.faults.proxy import proxied
from tests.faults.site import MakeSite, Site, long_only
from tests.servers.redises import RedisClusterServers, RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

POINTER, SPECIFICATION, COUNTERS = "sk:active", "sk:generation:1", stripe_prefix(1, 2, 3) + "gen"
"""One key of each shard: which of them is broken. Each holds counters too."""


def shard_of(site: Site, key: str) -> RedisServer:
    assert isinstance(site.redis_server, RedisClusterServers)
    return site.redis_server.shard_of(key)


def kill(site: Site, shard: RedisServer) -> None:
    shard.kill()
    site.publish(300)
    wait_until_told(site, "Connection")
    shard.start()


def freeze(site: Site, shard: RedisServer) -> None:
    """Longer than its node timeout: the others call it failed, and the cluster down."""
    shard.pause()
    site.publish(300)
    others = [other for other in site.redis_server.shards if other is not shard]
    eventually(lambda: all(state_of(other) == "fail" for other in others), 60, "the cluster's failure")
    wait_until_told(site, "is unavailable")
    shard.resume()


def state_of(shard: RedisServer) -> str:
    state: str = shard.admin.execute_command("CLUSTER INFO")["cluster_state"]
    return state


def empty(site: Site, shard: RedisServer) -> None:
    shard.admin.flushall()
    site.publish(300)


def go_back(site: Site, shard: RedisServer) -> None:
    shard.admin.save()
    site.publish(500)
    site.wait_until_counted()
    shard.kill()
    shard.start()


def fill(site: Site, shard: RedisServer) -> None:
    shard.admin.config_set("maxmemory", 1)
    site.publish(300)
    wait_until_told(site, "used memory")
    shard.admin.config_set("maxmemory", 0)


def wait_until_told(site: Site, what: str) -> None:
    logs = [worker.log for worker in site.running()]
    eventually(lambda: any(what in log.read_text() for log in logs), 60, f"the log to say {what}")


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        (kill, POINTER),
        pytest.param(kill, SPECIFICATION, marks=long_only),
        pytest.param(freeze, COUNTERS, marks=long_only),
        (empty, POINTER),
        pytest.param(go_back, POINTER, marks=long_only),
        (go_back, COUNTERS),
        pytest.param(fill, SPECIFICATION, marks=long_only),
    ],
)
def test_after_a_shard_recovers_every_count_is_exact(
    make_site: MakeSite, fault: Callable[[Site, RedisServer], None], key: str
) -> None:
    site = make_site(seed=31, cluster=True)
    site.start_workers(2)
    site.publish(800)
    site.wait_until_counted()
    site.publish(400)
    fault(site, shard_of(site, key))
    site.running()[0].kill()
    site.publish(300)
    site.wait_until_counted()
    assert site.differences() == []


def test_an_answer_that_a_shard_gives_too_late_counts_nothing_twice(make_site: MakeSite) -> None:
    site = make_site(seed=32, cluster=True)
    with proxied(site) as made:
        site.start_workers(2)
        for proxy in made:
            proxy.swallow_every = 3
        for _ in range(4):
            site.publish(250)
            for proxy in made:
                proxy.cut()
        site.wait_until_counted()
        assert site.differences() == []
        assert any(proxy.swallowed for proxy in made)
