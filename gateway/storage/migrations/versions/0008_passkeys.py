"""Passkeys of people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_passkeys"
down_revision = "0007_people"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def upgrade() -> None:
    op.create_table(
        "passkey",
        *map(_text, ("id", "tenant", "person")),
        *map(_blob, ("credential", "handle", "public_key")),
        _number("counter"),
        sa.Column("copied", sa.Boolean, nullable=False),
        _blob("label"),
        *map(_number, ("created", "used")),
        sa.PrimaryKeyConstraint("id", name="pk_passkey"),
        sa.UniqueConstraint("credential", name="uq_passkey_credential"),
    )
    op.create_index("ix_passkey_person_created", "passkey", ["person", "created"])
    op.create_index("ix_passkey_tenant", "passkey", ["tenant"])
