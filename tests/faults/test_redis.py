"""A Redis that forgets, goes back, refuses, answers late, or not at all after it did what it was asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from random import randbytes

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.end_to_end.processes import eventually
from tests.faults.proxy import proxied
from tests.faults.site import IS_LONG, ON_CLUSTER, SESSION_SECONDS, MakeSite, Site, in_time, long_only

pytestmark = [pytest.mark.faults, pytest.mark.kafka]


def kill_and_start(site: Site) -> None:
    site.redis_server.kill()
    site.publish(200)
    site.redis_server.start()


def empty(site: Site) -> None:
    for shard in site.redis_server.shards:
        shard.admin.flushall()


def _lose_the_newest_writes(site: Site) -> None:
    """A fail-over to a replica that lags: what was counted after the save is lost. It is away until it is started."""
    for shard in site.redis_server.shards:
        shard.admin.save()
    site.publish(500)
    site.wait_until_counted()
    site.redis_server.kill()


def go_back(site: Site) -> None:
    """With batches read and waiting when it is back, which begin beyond the checkpoints that there are then."""
    _lose_the_newest_writes(site)
    site.publish(300)
    _wait_until_told(site, "waiting: ")
    site.redis_server.start()


def forget_scripts(site: Site) -> None:
    for shard in site.redis_server.shards:
        shard.admin.script_flush()


def fill(site: Site) -> None:
    _configure(site, "maxmemory", 1)
    site.publish(300)
    _wait_until_told(site, "used memory")
    _configure(site, "maxmemory", 0)


def _configure(site: Site, name: str, value: object) -> None:
    for shard in site.redis_server.shards:
        shard.admin.config_set(name, value)


def become_a_replica(site: Site) -> None:
    for shard in site.redis_server.shards:
        shard.admin.replicaof("127.0.0.1", 1)
    site.publish(300)
    _wait_until_told(site, "ReadOnly")
    for shard in site.redis_server.shards:
        shard.admin.replicaof("NO", "ONE")


def load(site: Site) -> None:
    """It is back, and refuses everything while it reads its dump, which ends when the workers have told of it."""
    # Larger than what it reads between two looks at its clients: it refuses them as soon as they come.
    with site.redis.pipeline(transaction=False) as pipe:
        for number in range(2_000):
            pipe.set(f"filler:{number}", randbytes(1_100))
        pipe.execute()
    for shard in site.redis_server.shards:
        shard.admin.save()
        shard.restart_slowly()
    site.publish(300)
    _wait_until_told(site, "BusyLoading")
    for shard in site.redis_server.shards:
        shard.read_on()


def freeze(site: Site) -> None:
    """It gets calls, and executes them long after nobody waits for the answer any more."""
    site.redis_server.pause()
    site.publish(300)
    _wait_until_told(site, "Timeout")
    site.redis_server.resume()


def empty_with_a_kill(site: Site) -> None:
    empty(site)
    site.publish(200)
    site.running()[0].kill()
    empty(site)


def lose_a_stripe(site: Site) -> None:
    """All that one hash slot held is gone at once; the generation's record, in another slot, is not."""
    _lose(site, "{sk:*")


def _lose(site: Site, pattern: str) -> None:
    """In one script: a key that a worker made between listing and deleting would stay, as no lost shard leaves one."""
    script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end"
    for shard in site.redis_server.shards:
        shard.admin.eval(script, 0, pattern)


def lose_the_pointer(site: Site) -> None:
    site.redis.delete("sk:active")


def _wait_until_told(site: Site, what: str) -> None:
    logs = [worker.log for worker in site.running()]
    eventually(lambda: any(what in log.read_text() for log in logs), 60, f"the log to say {what}")


not_on_a_cluster = pytest.mark.skipif(ON_CLUSTER, reason="of one Redis; for a cluster's shards see test_cluster.py")


@pytest.mark.parametrize(
    "fault",
    [
        kill_and_start,
        empty,
        go_back,
        pytest.param(forget_scripts, marks=long_only),
        fill,
        pytest.param(become_a_replica, marks=[not_on_a_cluster, long_only]),
        load,
        pytest.param(freeze, marks=long_only),
        empty_with_a_kill,
        lose_the_pointer,
        pytest.param(lose_a_stripe, marks=long_only),
    ],
)
def test_after_redis_recovers_every_count_is_exact(make_site: MakeSite, fault: Callable[[Site], None]) -> None:
    site = make_site(seed=21)
    workers = site.start_workers(2)
    site.publish(800)
    site.wait_until_counted()
    site.publish(400)
    fault(site)
    site.publish(300)
    site.wait_until_counted()
    assert site.differences() == []
    if fault is not empty_with_a_kill:
        assert [worker.exit_code() for worker in workers] == [None, None]


def test_what_an_idle_log_lost_in_redis_is_counted_again_without_a_new_message(make_site: MakeSite) -> None:
    """`make proof` found it with seed 104: nobody asks Redis for anything when there is nothing to count."""
    site = make_site(seed=29)
    site.start_workers(2)
    site.publish(300)
    site.wait_until_counted()
    _lose_the_newest_writes(site)
    site.redis_server.start()
    site.wait_until_counted()
    assert site.differences() == []


def test_a_lost_pointer_never_loses_a_message(make_site: MakeSite) -> None:
    site = make_site(seed=22)
    site.start_workers(2)
    site.publish(500)
    site.wait_until_counted()
    lose_the_pointer(site)
    site.publish(500)
    site.start_worker()
    site.running()[0].kill()
    site.wait_until_counted()
    assert site.differences() == []


@not_on_a_cluster
@pytest.mark.parametrize(
    ("swallow_every", "delay_seconds"),
    [
        pytest.param(3, 0.0, id="lost"),
        pytest.param(2, 0.05, id="late and lost", marks=long_only),
        pytest.param(0, 0.2, id="late"),
    ],
)
def test_an_answer_that_is_lost_after_execution_counts_nothing_twice(
    make_site: MakeSite, swallow_every: int, delay_seconds: float
) -> None:
    site = make_site(seed=23)
    with proxied(site) as (proxy,):
        site.start_workers(2)
        proxy.swallow_every, proxy.delay_seconds = swallow_every, delay_seconds
        for _ in range(4):
            site.publish(250)
            proxy.cut()
        site.wait_until_counted()
        assert site.differences() == []
        assert proxy.swallowed or not swallow_every


@not_on_a_cluster
def test_an_answer_that_is_lost_is_lost_after_execution(make_site: MakeSite) -> None:
    """What the tests above stand on: the proxy swallows answers of calls that were executed."""
    site = make_site(seed=24)
    with proxied(site) as (proxy,):
        proxy.swallow_every = 1
        with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as client:
            sha = site.redis.script_load("return redis.call('INCR', KEYS[1])")
            with pytest.raises(redis.ConnectionError):
                client.evalsha(sha, 1, "executed")
        assert site.redis.get("executed") == "1"
        assert proxy.swallowed == 1


def test_a_redis_that_evicts_is_refused_at_the_start(make_site: MakeSite) -> None:
    site = make_site(seed=25)
    # Of a cluster one shard is enough, and not the first that is asked.
    site.redis_server.shards[-1].admin.config_set("maxmemory-policy", "allkeys-lru")
    done = site.run("worker")
    assert done.returncode != 0
    assert "noeviction" in done.stderr


def lose_one_stripe_of_three(site: Site) -> None:
    _lose(site, "{sk:*:1*}:*")


@not_on_a_cluster
@pytest.mark.parametrize(
    "fault",
    [
        lose_one_stripe_of_three,
        pytest.param(go_back, marks=long_only),
        pytest.param(kill_and_start, marks=long_only),
    ],
)
def test_stripes_recover_each_by_itself(make_site: MakeSite, fault: Callable[[Site], None]) -> None:
    site = make_site(seed=27, SCOREKEEPER_STRIPES="3")
    with proxied(site) as (proxy,):
        site.start_workers(2)
        site.publish(600)
        proxy.swallow_every = 4
        site.publish(300)
        fault(site)
        site.running()[0].kill()
        site.publish(300)
        site.wait_until_counted()
        assert site.differences() == []


LONGER_THAN_A_REQUEST = 13.0
"""After the 10 s of a request Faust takes a seek for failed."""


def test_a_rebalance_while_redis_is_away_for_long_leaves_no_partition_behind(make_site: MakeSite) -> None:
    site = make_site(seed=28)
    dies, stays = site.start_workers(2)
    site.publish(300)
    site.wait_until_counted()
    site.redis_server.pause()
    dies.kill()
    site.publish(300)
    time.sleep(SESSION_SECONDS + LONGER_THAN_A_REQUEST)
    site.redis_server.resume()
    site.wait_until_counted()
    assert site.differences() == []
    assert stays.exit_code() is None


IDLE_SECONDS = 6.0


def test_after_a_long_absence_of_redis_consumers_are_members_of_their_group_still(make_site: MakeSite) -> None:
    """Ten minutes of it found this: after five without a fetch aiokafka leaves the group, and Faust fetches no more."""
    site = make_site(seed=20)
    (worker,) = site.start_workers(1, "tests.faults.impatient_worker", str(IDLE_SECONDS))
    site.publish(500)
    site.wait_until_counted()
    site.redis_server.pause()
    site.publish(1500)
    time.sleep(2 * IDLE_SECONDS)
    site.redis_server.resume()
    site.publish(500)
    site.wait_until_counted(45)  # less than the watchdog's patience, which would end the worker
    assert site.differences() == []
    assert worker.exit_code() is None


RETURN_SECONDS = 3.0
AWAY_SECONDS = 60.0 if IS_LONG else 3.0


def test_counting_goes_on_soon_after_redis_is_back(make_site: MakeSite) -> None:
    site = make_site(seed=26)
    site.start_workers(2)
    site.publish(500)
    site.wait_until_counted()
    for shard in site.redis_server.shards:
        shard.admin.save()
    site.redis_server.kill()
    site.publish(500)
    time.sleep(AWAY_SECONDS)
    site.redis_server.start()
    back_at = time.monotonic()
    site.wait_until_counted()
    took = time.monotonic() - back_at
    sys.stdout.write(f"counted {took:.2f} s after Redis's return\n")
    assert took < in_time(RETURN_SECONDS)
    assert site.differences() == []
