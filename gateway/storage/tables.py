"""The tables of the control plane.

INVARIANT: this metadata and the newest migration describe the same schema (a test compares them).
Every text compares byte for byte: SQLite does so by itself, PostgreSQL in collation `C`. Columns
`…_json` hold JSON text written by `gateway.storage.documents`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text() -> TypeEngine[str]:
    return Text().with_variant(Text(collation="C"), "postgresql")


def _key(name: str) -> Column[str]:
    return Column(name, _text(), primary_key=True)


def _string(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, _text(), nullable=nullable)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _blob(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable)


tenant = Table(
    "tenant",
    metadata,
    _key("id"),
    _string("name"),
    _string("region"),
    _flag("suspended"),
    _string("purposes_json"),
    Column("not_before", BigInteger, nullable=False, server_default="0"),
)

client = Table(
    "client",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("name"),
    _string("kind"),
    _string("roles_json"),
    _string("scopes_json"),
    _string("purposes_json"),
    _string("default_purpose", nullable=True),
    _string("auth_method"),
    _blob("secret_hash", nullable=True),
    _string("jwks_json", nullable=True),
    _string("token_binding"),
    _flag("disabled"),
    _string("former_json", nullable=True),
    Column("not_before", BigInteger, nullable=False, server_default="0"),
    _string("redirect_uris_json", nullable=True),
    Index(None, "tenant", "id"),
)

revoked_token = Table(
    "revoked_token",
    metadata,
    _key("issuer"),
    _key("token_id"),
    _number("expires"),
    Index(None, "expires"),
)

epoch = Table(
    "epoch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _number("value"),
)
"""One row, id 1."""

model = Table(
    "model",
    metadata,
    _key("tenant"),
    _key("name"),
    _flag("personal"),
    _string("data_class"),
    _number("created"),
    _string("created_by"),
)

sharing = Table(
    "sharing",
    metadata,
    _key("owner"),
    _key("model"),
    _key("tenant"),
    _string("id"),
    _string("versions_json"),
    _flag("infer"),
    _flag("download"),
    _string("purposes_json"),
    Column("until", BigInteger, nullable=True),
    _number("offered"),
    _string("offered_by"),
    Column("accepted", BigInteger, nullable=True),
    _string("accepted_by"),
    ForeignKeyConstraint(["owner", "model"], ["model.tenant", "model.name"]),
    Index(None, "tenant", "owner", "model"),
)
"""At most one a model and tenant: an offer, accepted or not."""

model_version = Table(
    "model_version",
    metadata,
    _key("tenant"),
    _key("model"),
    _key("version"),
    _string("state"),
    _number("created"),
    _string("created_by"),
    _blob("manifest"),
    _blob("owner_bundle"),
    _blob("owner_key_pem"),
    _blob("link"),
    _string("payloads_json"),
    _string("facts_json"),
    _string("reason"),
    _string("source"),
    _number("revision"),
    ForeignKeyConstraint(["tenant", "model"], ["model.tenant", "model.name"]),
    Index(None, "state"),
)

release = Table(
    "release",
    metadata,
    _key("tenant"),
    _key("model"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _string("version"),
    _string("previous", nullable=True),
    _string("action"),
    _string("by"),
    _number("at"),
    ForeignKeyConstraint(
        ["tenant", "model", "version"],
        ["model_version.tenant", "model_version.model", "model_version.version"],
    ),
)

upload = Table(
    "upload",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("client"),
    _string("payload_json"),
    _number("created"),
    _number("expires"),
    Index(None, "tenant"),
    Index(None, "expires"),
)

site = Table(
    "site",
    metadata,
    _key("tenant"),
    _key("name"),
    _string("public_key"),
    _string("node_id"),
    _number("created"),
    _flag("revoked"),
    UniqueConstraint("public_key"),
)

federation = Table(
    "federation",
    metadata,
    _key("tenant"),
    _key("name"),
    _string("model"),
    _string("sites_json"),
    _string("task"),
    _string("config"),
    _number("quorum"),
    _number("deadline_s"),
    _number("created"),
    _string("created_by"),
    _string("calibration_json", nullable=True),
)

run = Table(
    "run",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("federation"),
    _string("version"),
    _number("rounds"),
    _string("state"),
    _number("started"),
    _string("started_by"),
    _string("purpose"),
    _number("cursor"),
    _string("reason"),
    _number("revision"),
    Index(None, "tenant", "federation", "id"),
    Index(None, "state"),
)

batch = Table(
    "batch",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("client"),
    _string("authority"),
    _string("model"),
    _string("version"),
    _string("purpose"),
    _string("format"),
    _string("recipient"),
    _string("source_json", nullable=True),
    _number("created"),
    _number("expires"),
    _number("length"),
    _string("state"),
    _string("subject_ref"),
    _blob("subject_sealed"),
    _string("reason"),
    _number("row"),
    _number("column"),
    _number("rows"),
    _number("chunks"),
    _number("revision"),
    Index(None, "tenant", "client", "id"),
    Index(None, "state"),
    Index(None, "expires"),
)

batch_part = Table(
    "batch_part",
    metadata,
    _key("batch"),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _string("tenant"),
    _number("first"),
    _number("rows"),
    _number("head"),
    _string("source_json", nullable=True),
    _string("refs_json"),
    _string("state"),
    _string("event"),
    _string("digest"),
    _number("length"),
    _string("outcome"),
    _string("rules_json"),
    _number("refused"),
    ForeignKeyConstraint(["batch"], ["batch.id"]),
)

pending = Table(
    "pending",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("kind"),
    _string("facts_json"),
    _number("at"),
    Index(None, "at", "id"),
)

approval = Table(
    "approval",
    metadata,
    _key("tenant"),
    _key("id"),
    _string("operation"),
    _string("body"),
    _string("asked_by"),
    _number("at"),
    _number("expires"),
)

policy_bundle = Table(
    "policy_bundle",
    metadata,
    _key("tenant"),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    _blob("document"),
)

person = Table(
    "person",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("roles_json"),
    _string("purposes_json"),
    _string("default_purpose", nullable=True),
    _string("state"),
    _blob("mark"),
    _string("sealed_json"),
    _blob("details"),
    _string("password"),
    _number("created"),
    _number("revision"),
    Column("not_before", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("tenant", "mark"),
    Index(None, "tenant", "id"),
)

sign_in = Table(
    "sign_in",
    metadata,
    _key("id"),
    _string("kind"),
    _string("tenant"),
    _string("person"),
    _string("client"),
    _string("scopes_json"),
    _string("thumbprint"),
    _number("acr"),
    _string("amr_json"),
    _number("authenticated"),
    _number("created"),
    _number("seen"),
    _number("expires"),
    _blob("secret"),
    Index(None, "secret"),
    Index(None, "person", "created"),
    Index(None, "expires"),
)

ticket = Table(
    "ticket",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _string("kind"),
    _string("tenant"),
    _string("person"),
    _string("sign_in"),
    _number("expires"),
    _string("facts_json"),
    _flag("spent"),
    Index(None, "person"),
    Index(None, "sign_in"),
    Index(None, "expires"),
)

passkey = Table(
    "passkey",
    metadata,
    _key("id"),
    _string("tenant"),
    _string("person"),
    _blob("credential"),
    _blob("handle"),
    _blob("public_key"),
    _number("counter"),
    _flag("copied"),
    _blob("label"),
    _number("created"),
    _number("used"),
    UniqueConstraint("credential"),
    Index(None, "person", "created"),
    Index(None, "tenant"),
)
