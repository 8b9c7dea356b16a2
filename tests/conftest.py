"""What all tests share: the real parts, and patience. Builders are in builders.py."""

from __future__ import annotations

from hypothesis import settings

from tests.servers.plugin import (
    database_url,
    kafka_bootstrap,
    make_topic,
    postgres_server,
    postgres_url,
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
    "pytest_configure_node",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "redis_server",
    "redis_url",
    "sql_ascii_url",
    "sqlite_url",
]

# Laws are checked without a time limit per example: machines that run several things at once are slow now and then.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
