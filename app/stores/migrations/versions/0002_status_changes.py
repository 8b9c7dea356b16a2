"""Changes of goals' statuses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "status_changes",
        sa.Column("goal", sa.String(64), primary_key=True),
        sa.Column("number", _Number, primary_key=True, autoincrement=False),
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.key"), nullable=False),
        sa.Column("at", _Number, nullable=False),
        sa.Column("before", sa.String(16), nullable=True),
        sa.Column("after", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("seen", sa.Text, nullable=False),
    )
    op.create_index("ix_status_changes_project", "status_changes", ["project", "goal", "number"])
