"""Sites to break. Each test has topics, a Redis, a database and workers of its own; Kafka is shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.site import MakeSite, sites
from tests.servers.brokers import ApacheKafka


@pytest.fixture
def make_site(tmp_path: Path, kafka_bootstrap: str) -> Iterator[MakeSite]:
    """Makes a site; its processes end with the test."""
    with sites(tmp_path, kafka_bootstrap) as make:
        yield make


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A Kafka that may be broken, of one module."""
    broker = ApacheKafka(tmp_path_factory.mktemp("broken-kafka"))
    yield broker
    broker.stop()


@pytest.fixture
def make_own_site(tmp_path: Path, kafka: ApacheKafka) -> Iterator[MakeSite]:
    """As `make_site`, on the Kafka that may be broken."""
    with sites(tmp_path, kafka.bootstrap) as make:
        yield make
