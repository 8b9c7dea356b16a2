"""The tables. Times are epoch milliseconds of the database's clock; bodies are JSON in the API's field names."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""The migrations that make these tables, oldest first."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

_Number: Final = BigInteger().with_variant(Integer, "sqlite")

projects: Final = Table(
    "projects",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("created_at", _Number, nullable=False),
    Column("revision", _Number, nullable=False, server_default="0"),
)
"""`revision`: the catalog's that changed it, or a definition of it, last: who knows an earlier one reads no more."""

catalog: Final = Table(
    "catalog",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", _Number, nullable=False),
)
"""One row. Every change of a definition raises the revision in its own transaction, so that writers queue here."""

versions: Final = Table(
    "definition_versions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("revision", _Number, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("project", String(64), ForeignKey("projects.key"), nullable=False),
    Column("created_at", _Number, nullable=False),
    Column("effective_from", _Number, nullable=False),
    Column("effective_until", _Number, nullable=True),
    Column("is_deleted", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_definition_versions_project", "project", "kind", "effective_until"),
)
"""Every version that ever acted; the present one has no end. Nothing is removed: reading the log again needs it."""

unsettled: Final = Table(
    "unsettled",
    metadata,
    Column("revision", _Number, primary_key=True, autoincrement=False),
    Column("acts_from", _Number, nullable=False),
    Column("project", String(64), nullable=True),
)
"""The versions, by revision, and projects, of which it is not settled yet when they begin: see settling.py."""

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(64), ForeignKey("projects.key"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("scopes", String(200), nullable=False),
    Column("created_at", _Number, nullable=False),
    Column("expires_at", _Number, nullable=True),
    Column("revoked_at", _Number, nullable=True),
    Column("last_used_at", _Number, nullable=True),
)

secrets: Final = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(128), nullable=False),
)
"""Keys of hashes, made by the first process that needs them."""

sessions: Final = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("api_key", String(32), ForeignKey("api_keys.id"), nullable=False),
    Column("created_at", _Number, nullable=False),
    Column("expires_at", _Number, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("at", _Number, nullable=False),
    Column("project", String(64), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", String(64), nullable=False),
    Column("before", Text, nullable=True),
    Column("after", Text, nullable=True),
    Index("ix_audit_project", "project", "id"),
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("project", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("at", _Number, nullable=False),
    Column("status", Integer, nullable=True),
    Column("answer", Text, nullable=True),
)
"""Answers to POSTs that carried an Idempotency-Key; `status` is NULL while the first one is being worked on."""

status_changes: Final = Table(
    "status_changes",
    metadata,
    Column("goal", String(64), primary_key=True),
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("project", String(64), ForeignKey("projects.key"), nullable=False),
    Column("at", _Number, nullable=False),
    Column("before", String(16), nullable=True),
    Column("after", String(16), nullable=False),
    Column("cause", String(32), nullable=False),
    Column("seen", Text, nullable=False),
    Index("ix_status_changes_project", "project", "goal", "number"),
)
"""What became of each goal's status: its records are numbered from 1, and a number is taken once. `seen` is JSON."""

alerts: Final = Table(
    "alerts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project", String(64), ForeignKey("projects.key"), nullable=False, index=True),
    Column("created_at", _Number, nullable=False),
    Column("body", Text, nullable=False),
    Column("secret", String(128), nullable=False),
    Column("told", Text, nullable=False),
    Column("version", _Number, nullable=False),
)
"""`told` is what each alert told of each goal last, JSON; it and `body` change with `version` only, from the one that
was read. `secret` signs, so it is kept as it is."""

alert_deliveries: Final = Table(
    "alert_deliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("alert", String(64), ForeignKey("alerts.id"), nullable=False),
    Column("created_at", _Number, nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", _Number, nullable=True),
    Column("delivered_at", _Number, nullable=True),
    Column("status", Integer, nullable=True),
    Column("error", Text, nullable=False),
    Index("ix_alert_deliveries_alert", "alert", "created_at"),
    Index("ix_alert_deliveries_next_at", "next_at"),
)
"""What is to be sent and what was: `next_at` is NULL when nothing more is tried. Written with what was told."""
