"""The servers themselves: what the fault tests rely on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from kafka import KafkaProducer

from app.streams.topics import Topics
from tests.end_to_end.processes import eventually
from tests.servers.brokers import ApacheKafka, has_java
from tests.servers.redises import RedisClusterServers, RedisServer


@pytest.mark.kafka
@pytest.mark.skipif(not has_java(), reason="Apache Kafka needs Java and Maven")
def test_kafka_keeps_its_log_over_a_kill(tmp_path: Path) -> None:
    kafka = ApacheKafka(tmp_path)
    try:
        topics = Topics(kafka.bootstrap)
        topics.create("kept", 1)
        (before,) = topics.describe(["kept"])
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
        producer.send("kept", b"value").get(60)
        producer.close()
        kafka.kill()
        kafka.start()
        (after,) = topics.describe(["kept"])
        assert after == before
        assert topics.ends(after.positions()) == {after.positions()[0]: (0, 1)}
    finally:
        kafka.stop()


@pytest.mark.kafka
def test_a_topic_of_the_shared_kafka_is_stamped_by_the_broker(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    (description,) = Topics(kafka_bootstrap).describe([make_topic(3)])
    assert description.partitions == 3


@pytest.mark.postgres
def test_each_test_gets_a_database_of_its_own(postgres_url: str) -> None:
    dsn = postgres_url.replace("+psycopg", "")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE t (n int)")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_redis_forgets_everything_when_it_is_killed(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    try:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", 1)
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") is None
    finally:
        server.stop()


def connections(servers: RedisClusterServers) -> list[int]:
    return [len(shard.admin.client_list(_type="normal")) for shard in servers.shards]


def test_a_client_of_a_cluster_that_is_closed_leaves_no_connection_open(tmp_path: Path) -> None:
    servers = RedisClusterServers(tmp_path)
    try:
        client = servers.client()
        for key in "abcdef":
            client.set(key, 1)
        assert connections(servers) == [2, 2, 2]
        client.close()
        eventually(lambda: connections(servers) == [1, 1, 1], 10, "the end of all but ours")
    finally:
        servers.stop()
