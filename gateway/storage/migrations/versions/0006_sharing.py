"""Sharing by consent of both sides: a list of tenants becomes an offer to each of them.

The list asked only its owner. Nobody could use what it gave, so nothing that worked stops.
"""

from __future__ import annotations

import json
import uuid

import sqlalchemy as sa
from alembic import op

revision = "0006_sharing"
down_revision = "0005_rotate"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    made = op.create_table(
        "sharing",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("versions_json", TEXT, nullable=False),
        sa.Column("infer", sa.Boolean(), nullable=False),
        sa.Column("download", sa.Boolean(), nullable=False),
        sa.Column("purposes_json", TEXT, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("offered", sa.BigInteger(), nullable=False),
        sa.Column("offered_by", TEXT, nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=True),
        sa.Column("accepted_by", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "model"], ["model.tenant", "model.name"], name=op.f("fk_sharing_model")
        ),
        sa.PrimaryKeyConstraint("owner", "model", "tenant", name=op.f("pk_sharing")),
    )
    op.create_index(op.f("ix_sharing_tenant_owner_model"), "sharing", ["tenant", "owner", "model"])
    _offer_what_was_listed(made)
    op.drop_table("model_share")
    # A list that was being replaced when a process died: nobody can tell any more how it ended.
    op.execute("DELETE FROM pending WHERE kind = 'share'")


def _offer_what_was_listed(sharing: sa.Table) -> None:
    listed = sa.text(
        "SELECT model.tenant, model.name, model_share.shared_with, model.created,"
        " model.created_by FROM model_share JOIN model"
        " ON model.tenant = model_share.tenant AND model.name = model_share.name"
    )
    offers = [
        {
            "owner": owner,
            "model": model,
            "tenant": tenant,
            "id": str(uuid.uuid4()),
            "versions_json": json.dumps([]),
            "infer": True,
            "download": False,
            "purposes_json": json.dumps([]),
            "until": None,
            "offered": created,
            "offered_by": by,
            "accepted": None,
            "accepted_by": "",
        }
        for owner, model, tenant, created, by in op.get_bind().execute(listed)
    ]
    if offers:
        op.bulk_insert(sharing, offers)
