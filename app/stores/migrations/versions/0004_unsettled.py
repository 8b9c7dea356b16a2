"""What is not settled yet, and when each project changed last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "unsettled",
        sa.Column("revision", _Number, primary_key=True, autoincrement=False),
        sa.Column("acts_from", _Number, nullable=False),
        sa.Column("project", sa.String(64), nullable=True),
    )
    op.add_column("projects", sa.Column("revision", _Number, nullable=False, server_default="0"))
