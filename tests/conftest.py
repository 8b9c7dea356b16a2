"""What all tests share: the real parts, and patience. Builders are in builders.py."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import is_ci
from tests.servers.plugin import (
    database_url,
    kafka_bootstrap,
    make_topic,
    postgres_server,
    postgres_url,
    promtool,
    pytest_configure_node,
    pytest_terminal_summary,
    pytest_unconfigure,
    redis_server,
    redis_url,
    sql_ascii_url,
    sqlite_url,
)

__all__ = [
    "database_url",
    "kafka_bootstrap",
    "make_topic",
    "postgres_server",
    "postgres_url",
    "promtool",
    "pytest_configure_node",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "redis_server",
    "redis_url",
    "sql_ascii_url",
    "sqlite_url",
]

# Laws are checked without a limit of time: machines that run several things at once are slow now and then. In CI the
# examples are the same each time, else a change would be refused for what another one did; by hand they differ.
settings.register_profile("unhurried", deadline=None, derandomize=is_ci(), suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """What the garbage collector finds is an error by hand, and told in CI: it comes when it likes, in whichever test
    runs then, and a call that a busy machine gave up leaves something to it."""
    if is_ci():
        for kind in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
            config.addinivalue_line("filterwarnings", f"default::{kind}")
