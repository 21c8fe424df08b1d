"""The control plane: identity, registry, federations, policies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "client",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("roles_json", TEXT, nullable=False),
        sa.Column("scopes_json", TEXT, nullable=False),
        sa.Column("purposes_json", TEXT, nullable=False),
        sa.Column("default_purpose", TEXT, nullable=True),
        sa.Column("auth_method", TEXT, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("jwks_json", TEXT, nullable=True),
        sa.Column("token_binding", TEXT, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_index(op.f("ix_client_tenant_id"), "client", ["tenant", "id"], unique=False)
    op.create_table(
        "epoch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epoch")),
    )
    op.create_table(
        "federation",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("sites_json", TEXT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("config", TEXT, nullable=False),
        sa.Column("quorum", sa.BigInteger(), nullable=False),
        sa.Column("deadline_s", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("calibration_json", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_federation")),
    )
    op.create_table(
        "model",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("personal", sa.Boolean(), nullable=False),
        sa.Column("data_class", TEXT, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_model")),
    )
    op.create_table(
        "pending",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("facts_json", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending")),
    )
    op.create_index(op.f("ix_pending_at_id"), "pending", ["at", "id"], unique=False)
    op.create_table(
        "policy_bundle",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "epoch", name=op.f("pk_policy_bundle")),
    )
    op.create_table(
        "revoked_token",
        sa.Column("issuer", TEXT, nullable=False),
        sa.Column("token_id", TEXT, nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "token_id", name=op.f("pk_revoked_token")),
    )
    op.create_index(op.f("ix_revoked_token_expires"), "revoked_token", ["expires"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("federation", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("rounds", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("started_by", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_state"), "run", ["state"], unique=False)
    op.create_index(
        op.f("ix_run_tenant_federation_id"), "run", ["tenant", "federation", "id"], unique=False
    )
    op.create_table(
        "site",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("public_key", TEXT, nullable=False),
        sa.Column("node_id", TEXT, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_site")),
        sa.UniqueConstraint("public_key", name=op.f("uq_site_public_key")),
    )
    op.create_table(
        "tenant",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("purposes_json", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
    )
    op.create_table(
        "upload",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("payload_json", TEXT, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index(op.f("ix_upload_expires"), "upload", ["expires"], unique=False)
    op.create_index(op.f("ix_upload_tenant"), "upload", ["tenant"], unique=False)
    op.create_table(
        "model_share",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("shared_with", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "name"], ["model.tenant", "model.name"], name=op.f("fk_model_share_model")
        ),
        sa.PrimaryKeyConstraint("tenant", "name", "shared_with", name=op.f("pk_model_share")),
    )
    op.create_index(
        op.f("ix_model_share_shared_with_tenant_name"),
        "model_share",
        ["shared_with", "tenant", "name"],
        unique=False,
    )
    op.create_table(
        "model_version",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("owner_bundle", sa.LargeBinary(), nullable=False),
        sa.Column("owner_key_pem", sa.LargeBinary(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.Column("payloads_json", TEXT, nullable=False),
        sa.Column("facts_json", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "model"], ["model.tenant", "model.name"], name=op.f("fk_model_version_model")
        ),
        sa.PrimaryKeyConstraint("tenant", "model", "version", name=op.f("pk_model_version")),
    )
    op.create_index(op.f("ix_model_version_state"), "model_version", ["state"], unique=False)
    op.create_table(
        "release",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("previous", TEXT, nullable=True),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "model", "version"],
            ["model_version.tenant", "model_version.model", "model_version.version"],
            name=op.f("fk_release_model_version"),
        ),
        sa.PrimaryKeyConstraint("tenant", "model", "sequence", name=op.f("pk_release")),
    )
    op.bulk_insert(
        sa.table("epoch", sa.column("id", sa.Integer), sa.column("value", sa.BigInteger)),
        [{"id": 1, "value": 0}],
    )
