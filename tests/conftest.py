"""What all tests share: the real parts. Builders are in builders.py."""

from __future__ import annotations

from tests.servers.plugin import (
    _postgres_server,
    _redis_server,
    database_url,
    kafka_bootstrap,
    make_topic,
    postgres_url,
    pytest_configure_node,
    pytest_terminal_summary,
    pytest_unconfigure,
    redis_url,
    sql_ascii_url,
    sqlite_url,
)

__all__ = [
    "_postgres_server",
    "_redis_server",
    "database_url",
    "kafka_bootstrap",
    "make_topic",
    "postgres_url",
    "pytest_configure_node",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "redis_url",
    "sql_ascii_url",
    "sqlite_url",
]
