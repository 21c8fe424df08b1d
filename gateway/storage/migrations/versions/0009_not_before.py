"""Since when tokens of a tenant or a person count that was shut out once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_not_before"
down_revision = "0008_passkeys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("tenant", "person"):
        column = sa.Column("not_before", sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(table, column)
