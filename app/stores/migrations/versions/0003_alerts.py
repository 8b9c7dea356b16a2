"""Alerts and their deliveries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.key"), nullable=False),
        sa.Column("created_at", _Number, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("version", _Number, nullable=False),
    )
    op.create_index("ix_alerts_project", "alerts", ["project"])
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("alert", sa.String(64), sa.ForeignKey("alerts.id"), nullable=False),
        sa.Column("created_at", _Number, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", _Number, nullable=True),
        sa.Column("delivered_at", _Number, nullable=True),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("ix_alert_deliveries_alert", "alert_deliveries", ["alert", "created_at"])
    op.create_index("ix_alert_deliveries_next_at", "alert_deliveries", ["next_at"])
