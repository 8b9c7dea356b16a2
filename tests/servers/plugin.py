"""The fixtures that hand real parts to tests. One Kafka a run; one Redis and one PostgreSQL a test process."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import pytest
import redis

from app.streams.topics import Topics
from tests.servers import is_ci
from tests.servers.brokers import Broker, start_any
from tests.servers.postgres import PostgresServer, start_postgres
from tests.servers.redises import RedisServer

_started: dict[str, Broker] = {}


def _kafka(home: Path) -> Broker:
    if "kafka" not in _started:
        _started["kafka"] = start_any(home)
    return _started["kafka"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: the controller starts the one Kafka and tells the test processes where it is."""
    broker = _kafka(Path(mkdtemp(prefix="scorekeeper-kafka-")))
    node.workerinput["kafka"] = broker.bootstrap


def pytest_unconfigure() -> None:
    for broker in _started.values():
        broker.stop()
    _started.clear()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for broker in _started.values():
        terminalreporter.write_line(f"Kafka: {broker.kind}")


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a Kafka that the whole run shares: use topics of your own."""
    given = getattr(request.config, "workerinput", {}).get("kafka")
    return given or _kafka(tmp_path_factory.mktemp("kafka")).bootstrap


@pytest.fixture
def make_topic(kafka_bootstrap: str) -> Callable[..., str]:
    """Creates a topic of a name of its own, and its dead-letter topic beside it."""

    def make(partitions: int = 4, **config: str) -> str:
        name = f"events-{uuid.uuid4().hex[:12]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        Topics(kafka_bootstrap).create(name, partitions, config=settings)
        Topics(kafka_bootstrap).create(f"{name}.dead-letters", 1)
        return name

    return make


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis 7 of this test process."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # Not below pytest's own folder, which another run beside this one closes to PostgreSQL's user.
    with TemporaryDirectory(prefix="scorekeeper-postgres-", ignore_cleanup_errors=True) as home:
        server = start_postgres(Path(home) / "cluster")
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """A new empty database; its SQLAlchemy URL."""
    return postgres_server.create_database()


@pytest.fixture
def sql_ascii_url(postgres_server: PostgresServer) -> str:
    """A new empty database of no encoding; its SQLAlchemy URL."""
    return postgres_server.create_database("TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A new SQLite file's SQLAlchemy URL."""
    return f"sqlite:///{tmp_path / 'scorekeeper.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Both kinds of database, one after the other."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def promtool() -> str:
    """Prometheus' tool that checks and tries rules; a test is skipped where there is none."""
    found = shutil.which("promtool")
    if found is None:
        assert not is_ci(), "CI=true needs promtool (package prometheus)"
        pytest.skip("promtool is not installed (package prometheus)")
    return found
