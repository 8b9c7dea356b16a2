"""Sites to break. Each test has topics, a Redis, a database and workers of its own; Kafka is shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.site import MakeSite, sites


@pytest.fixture
def make_site(tmp_path: Path, kafka_bootstrap: str) -> Iterator[MakeSite]:
    """Makes a site; its processes end with the test."""
    with sites(tmp_path, kafka_bootstrap) as make:
        yield make
