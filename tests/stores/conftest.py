"""The stores that are held to one contract: in memory, in the Redis of servers, in the embedded Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from app.stores import database as databases
from app.stores.database import Database
from app.stores.memory import MemoryCounters
from app.stores.redis_client import Client, connect
from app.stores.sql import SqlDefinitions
from tests.servers.redises import RedisClusterServers, RedisServer, embedded_binary
from tests.stores.counting import Store, new_redis_store

PATIENCE_SECONDS = 60.0
"""What one script may take: a hundred thousand ids at once, on a machine that has other things to do."""


@pytest.fixture(scope="session")
def _embedded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis-6"), binary=embedded_binary())
    yield server
    server.stop()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    """Connected to an empty Redis 7."""
    made = connect(redis_url, name="test", timeout_seconds=PATIENCE_SECONDS)
    yield made
    await made.aclose()


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    servers = RedisClusterServers(tmp_path_factory.mktemp("redis-cluster"))
    yield servers
    servers.stop()


@pytest.fixture
def cluster(_cluster: RedisClusterServers) -> RedisClusterServers:
    """Three empty shards of this test process."""
    for shard in _cluster.shards:
        shard.admin.flushall()
    return _cluster


@pytest.fixture(params=["memory", "redis 7", "redis 6.2", "redis 7 cluster"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A new generation in each kind of store."""
    if request.param == "memory":
        yield MemoryCounters()
        return
    if request.param == "redis 7 cluster":
        servers: RedisClusterServers = request.getfixturevalue("cluster")
        url = servers.url
    elif request.param == "redis 7":
        url = request.getfixturevalue("redis_url")
    else:
        server: RedisServer = request.getfixturevalue("_embedded_redis")
        url = server.url
        with redis.Redis.from_url(url) as plain:
            plain.flushall()
    made = connect(url, name="test", timeout_seconds=PATIENCE_SECONDS)
    yield await new_redis_store(made)
    await made.aclose()


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Writers wait for each other as long as a busy machine needs."""
    monkeypatch.setattr(databases, "_BUSY_SECONDS", PATIENCE_SECONDS)
    made = Database(database_url, patience_seconds=PATIENCE_SECONDS)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def definitions(database: Database) -> SqlDefinitions:
    made = SqlDefinitions(database)
    made.create_project("shop", "Shop", "Europe/Berlin")
    made.create_project("other", "Other", "UTC")
    return made
