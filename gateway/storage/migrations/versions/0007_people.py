"""People, where they are signed in, and secrets for one use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_people"
down_revision = "0006_sharing"
branch_labels = None
depends_on = None


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def upgrade() -> None:
    op.add_column("client", _text("redirect_uris_json", nullable=True))
    op.create_table(
        "person",
        _text("id"),
        _text("tenant"),
        _text("roles_json"),
        _text("purposes_json"),
        _text("default_purpose", nullable=True),
        _text("state"),
        _blob("mark"),
        _text("sealed_json"),
        _blob("details"),
        _text("password"),
        _number("created"),
        _number("revision"),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.UniqueConstraint("tenant", "mark", name="uq_person_tenant_mark"),
    )
    op.create_index("ix_person_tenant_id", "person", ["tenant", "id"])
    op.create_table(
        "sign_in",
        *map(_text, ("id", "kind", "tenant", "person", "client", "scopes_json", "thumbprint")),
        _number("acr"),
        _text("amr_json"),
        *map(_number, ("authenticated", "created", "seen", "expires")),
        _blob("secret"),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in"),
    )
    op.create_index("ix_sign_in_secret", "sign_in", ["secret"])
    op.create_index("ix_sign_in_person_created", "sign_in", ["person", "created"])
    op.create_index("ix_sign_in_expires", "sign_in", ["expires"])
    op.create_table(
        "ticket",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        *map(_text, ("kind", "tenant", "person", "sign_in")),
        _number("expires"),
        _text("facts_json"),
        sa.Column("spent", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_ticket"),
    )
    op.create_index("ix_ticket_person", "ticket", ["person"])
    op.create_index("ix_ticket_sign_in", "ticket", ["sign_in"])
    op.create_index("ix_ticket_expires", "ticket", ["expires"])
