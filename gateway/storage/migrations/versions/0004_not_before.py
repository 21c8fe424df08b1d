"""Since when tokens of a client count that was shut out once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_not_before"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("not_before", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("client", column)
