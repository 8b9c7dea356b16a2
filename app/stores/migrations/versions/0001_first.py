"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("created_at", _Number, nullable=False),
    )
    catalog = op.create_table(
        "catalog",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", _Number, nullable=False),
    )
    op.bulk_insert(catalog, [{"id": 1, "revision": 0}])
    op.create_table(
        "definition_versions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("revision", _Number, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.key"), nullable=False),
        sa.Column("created_at", _Number, nullable=False),
        sa.Column("effective_from", _Number, nullable=False),
        sa.Column("effective_until", _Number, nullable=True),
        sa.Column("is_deleted", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_definition_versions_project", "definition_versions", ["project", "kind", "effective_until"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.key"), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("created_at", _Number, nullable=False),
        sa.Column("expires_at", _Number, nullable=True),
        sa.Column("revoked_at", _Number, nullable=True),
        sa.Column("last_used_at", _Number, nullable=True),
    )
    op.create_index("ix_api_keys_project", "api_keys", ["project"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("api_key", sa.String(32), sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("created_at", _Number, nullable=False),
        sa.Column("expires_at", _Number, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", _Number, primary_key=True),
        sa.Column("at", _Number, nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("before", sa.Text, nullable=True),
        sa.Column("after", sa.Text, nullable=True),
    )
    op.create_index("ix_audit_project", "audit", ["project", "id"])
    op.create_table(
        "idempotency",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("at", _Number, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("answer", sa.Text, nullable=True),
    )
