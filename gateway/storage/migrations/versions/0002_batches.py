"""Batch jobs and their parts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "batch",
        _text("id"),
        _text("tenant"),
        _text("client"),
        _text("authority"),
        _text("model"),
        _text("version"),
        _text("purpose"),
        _text("format"),
        _text("recipient"),
        _text("source_json", nullable=True),
        _number("created"),
        _number("expires"),
        _number("length"),
        _text("state"),
        _text("subject_ref"),
        sa.Column("subject_sealed", sa.LargeBinary(), nullable=False),
        _text("reason"),
        _number("row"),
        _number("column"),
        _number("rows"),
        _number("chunks"),
        _number("revision"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    op.create_index(op.f("ix_batch_tenant_client_id"), "batch", ["tenant", "client", "id"])
    op.create_index(op.f("ix_batch_state"), "batch", ["state"])
    op.create_index(op.f("ix_batch_expires"), "batch", ["expires"])
    op.create_table(
        "batch_part",
        _text("batch"),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("tenant"),
        _number("first"),
        _number("rows"),
        _number("head"),
        _text("source_json", nullable=True),
        _text("refs_json"),
        _text("state"),
        _text("event"),
        _text("digest"),
        _number("length"),
        _text("outcome"),
        _text("rules_json"),
        _number("refused"),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_batch_part_batch")),
        sa.PrimaryKeyConstraint("batch", "number", name=op.f("pk_batch_part")),
    )
