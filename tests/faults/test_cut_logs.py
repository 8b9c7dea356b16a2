"""A broker that comes back without the last messages that it had: they were counted, and others take their offsets."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.end_to_end.processes import eventually
from tests.faults.oracle import Message
from tests.faults.site import CLUSTER_STRIPES, MakeSite, Site
from tests.faults.test_transactions import transactions, write
from tests.servers.brokers import ApacheKafka, has_java
from tests.servers.redises import RedisClusterServers

pytestmark = [
    pytest.mark.faults,
    pytest.mark.kafka,
    pytest.mark.skipif(not has_java(), reason="Apache Kafka needs Java and Maven"),
]


def cut_while_it_is_away(kafka: ApacheKafka, site: Site) -> int:
    """As if its machine had lost power before the last messages were on disk. How many messages are left."""
    kafka.kill()
    (segment,) = (kafka.log / f"{site.topic}-0").glob("*.log")
    data, ends, at = segment.read_bytes(), [0], 0
    while at < len(data):
        at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        ends.append(at)
    left = ends[len(ends) * 2 // 3]
    segment.write_bytes(data[:left])
    kafka.start()
    ((_, end),) = site.ends().values()
    return end


@pytest.mark.parametrize("is_away", [False, True], ids=["lives", "away"])
def test_a_log_that_was_cut_and_has_grown_past_what_was_counted_is_counted_from_the_cut(
    make_own_site: MakeSite, kafka: ApacheKafka, is_away: bool
) -> None:
    site = make_own_site(seed=51, partitions=1)
    (worker,) = site.start_workers(1)
    for _ in range(20):
        site.publish(20)
    site.wait_until_counted()
    before = site.log()
    if is_away:
        worker.stop()
    else:
        worker.signal(signal.SIGSTOP)
    left = cut_while_it_is_away(kafka, site)
    assert 0 < left < len(before)
    site.publish(600)
    assert len(site.log()) > len(before)
    if is_away:
        site.start_workers(1)
    else:
        worker.signal(signal.SIGCONT)
    site.wait_until_counted()
    assert site.losses() == {0: len(before) - left}
    assert site.differences(before + site.log()[left:]) == []
    proof = site.run("verify")
    assert proof.returncode == 1
    assert f"{site.topic}/0: offsets {left} to {len(before) - 1} were told as lost at 2" in proof.stdout


def test_a_log_of_transactions_that_was_cut_behind_the_mark_of_one_is_counted_from_the_cut(
    make_own_site: MakeSite, kafka: ApacheKafka
) -> None:
    site = make_own_site(seed=54, partitions=1)
    (worker,) = site.start_workers(1)

    async def publish() -> None:
        traffic = site.more_traffic(site.partitions)
        async with transactions(site) as producer:
            for number in range(21):
                await producer.begin_transaction()
                await write(producer, site, traffic, 10)
                await (producer.commit_transaction() if number % 3 else producer.abort_transaction())

    asyncio.run(publish())
    site.wait_until_counted()
    before, counted = site.log(), site.checkpoints()[0]
    worker.stop()
    left = cut_while_it_is_away(kafka, site)
    site.publish(600)
    site.start_workers(1)
    site.wait_until_counted()
    # Of offsets, the marks' too: also of the one right before the cut, which is no message that could tell its epoch.
    assert site.losses() == {0: counted - left + 1}
    assert site.differences(before + [message for message in site.log() if message.offset >= left]) == []


def counted_and_cut(kafka: ApacheKafka, site: Site) -> tuple[list[Message], int]:
    """What a worker, which ends, has counted of a log that was cut and has grown past that, and how much is left."""
    (worker,) = site.start_workers(1)
    for _ in range(20):
        site.publish(20)
    site.wait_until_counted()
    eventually(lambda: site.redis.hlen(site.prefix(0) + "ep"), 30, "its witness")
    worker.stop()
    before = site.log()
    for shard in site.redis_server.shards:
        shard.admin.save()
    left = cut_while_it_is_away(kafka, site)
    site.publish(600)
    return before, left


def test_who_takes_over_from_who_died_right_after_a_cut_counts_nothing_twice(
    make_own_site: MakeSite, kafka: ApacheKafka
) -> None:
    site = make_own_site(seed=52, partitions=1)
    before, left = counted_and_cut(kafka, site)
    dying = site.start_worker("tests.faults.crashing_worker", "SIGKILL", "applied", "0")
    site.wait_until_ended(dying)
    assert left < site.checkpoints()[0] < len(before)
    site.start_workers(1)
    site.wait_until_counted()
    assert site.losses() == {0: len(before) - left}
    assert site.differences(before + site.log()[left:]) == []


def test_a_redis_that_comes_back_as_it_was_before_a_cut_counts_from_the_cut_again(
    make_own_site: MakeSite, kafka: ApacheKafka
) -> None:
    site = make_own_site(seed=53, partitions=1)
    before, left = counted_and_cut(kafka, site)
    site.start_workers(1)
    site.wait_until_counted()
    told = site.told_losses()
    site.redis_server.kill()
    site.redis_server.start()
    site.publish(100)
    site.wait_until_counted()
    assert site.losses() == {0: len(before) - left}
    assert site.told_losses() != told, "it is told again"
    assert site.differences(before + site.log()[left:]) == []


@pytest.mark.parametrize("stripe", [0, int(CLUSTER_STRIPES) - 1], ids=["the first", "the last"])
def test_of_a_shard_that_comes_back_as_it_was_before_a_cut_its_own_stripes_count_from_the_cut_again(
    make_own_site: MakeSite, kafka: ApacheKafka, stripe: int
) -> None:
    site = make_own_site(seed=55, partitions=1, cluster=True)
    assert isinstance(site.redis_server, RedisClusterServers)
    before, left = counted_and_cut(kafka, site)
    site.start_workers(1)
    site.wait_until_counted()
    shard = site.redis_server.shard_of(site.prefix(stripe))
    shard.kill()
    shard.start()
    site.publish(100)
    site.wait_until_counted()
    assert site.losses() == {0: len(before) - left}
    assert site.differences(before + site.log()[left:]) == []


def test_a_generation_that_was_counted_before_a_cut_is_counted_from_there_when_it_is_shown(
    make_own_site: MakeSite, kafka: ApacheKafka
) -> None:
    site = make_own_site(seed=56, partitions=1)
    site.start_workers(1)
    for _ in range(20):
        site.publish(20)
    site.wait_until_counted()
    before = site.log()
    assert site.run("rebuild", "--no-switch").returncode == 0
    left = cut_while_it_is_away(kafka, site)
    site.publish(600)
    site.wait_until_counted()
    assert site.run("generations", "switch", "2").returncode == 0
    site.publish(100)
    site.wait_until_counted()
    assert site.losses() == {0: len(before) - left}
    assert site.differences(before + site.log()[left:]) == []
