"""Requests that wait for a second person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_rotate"
down_revision = "0004_not_before"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "approval",
        sa.Column("tenant", text, nullable=False),
        sa.Column("id", text, nullable=False),
        sa.Column("operation", text, nullable=False),
        sa.Column("body", text, nullable=False),
        sa.Column("asked_by", text, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_approval"),
    )
