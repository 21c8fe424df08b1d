"""The stores of identity, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from gateway.errors import AlreadyExists
from gateway.identity.errors import UnknownRecord
from gateway.identity.records import Client, Tenant
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import (
    former_from_text,
    jwks_from_text,
    names_from_text,
    names_to_text,
    ordered_from_text,
    to_text,
)
from gateway.storage.statements import get_one, put_new, replace_row, rows


class SqlTenantStore:
    """`gateway.identity.ports.TenantStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant_id: str) -> Tenant | None:
        """See the port."""
        if not is_storable(tenant_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.tenant, id=tenant_id)
        return None if row is None else _tenant(row)

    def add(self, tenant: Tenant) -> None:
        """See the port."""
        check_key(tenant.id)
        check_record(tenant)
        with self._database.writing() as connection:
            put_new(connection, tables.tenant, _tenant_row(tenant), AlreadyExists())

    def update(self, tenant: Tenant) -> None:
        """See the port."""
        check_key(tenant.id)
        check_record(tenant)
        with self._database.writing() as connection:
            if not replace_row(connection, tables.tenant, _tenant_row(tenant), id=tenant.id):
                raise UnknownRecord

    def list(self, after: str | None, limit: int) -> Sequence[Tenant]:
        """See the port."""
        check_key(after or "")
        id_ = tables.tenant.c.id
        query = select(tables.tenant).where(id_ > (after or "")).order_by(id_).limit(limit)
        with self._database.reading() as connection:
            return [_tenant(row) for row in rows(connection, query)]


class SqlClientStore:
    """`gateway.identity.ports.ClientStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, client_id: str) -> Client | None:
        """See the port."""
        if not is_storable(client_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.client, id=client_id)
        return None if row is None else _client(row)

    def add(self, client: Client) -> None:
        """See the port."""
        check_key(client.id, client.tenant)
        check_record(client)
        with self._database.writing() as connection:
            put_new(connection, tables.client, _client_row(client), AlreadyExists())

    def update(self, client: Client) -> None:
        """See the port."""
        check_key(client.id, client.tenant)
        check_record(client)
        row = _client_row(client)
        with self._database.writing() as connection:
            if not replace_row(connection, tables.client, row, id=client.id, tenant=client.tenant):
                raise UnknownRecord

    def list(self, tenant: str, after: str | None, limit: int) -> Sequence[Client]:
        """See the port."""
        check_key(tenant, after or "")
        client = tables.client
        query = (
            select(client)
            .where(client.c.tenant == tenant, client.c.id > (after or ""))
            .order_by(client.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_client(row) for row in rows(connection, query)]


class SqlRevocationStore:
    """`gateway.identity.ports.RevocationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revoke_token(self, issuer: str, token_id: str, expires: int) -> int:
        """See the port."""
        check_key(issuer, token_id)
        check_record((expires,))
        token = tables.revoked_token
        with self._database.writing() as connection:
            value = _raise_epoch(connection)  # first: its row lock makes the rest one at a time
            known = get_one(connection, token, issuer=issuer, token_id=token_id)
            row = {"issuer": issuer, "token_id": token_id, "expires": expires}
            if known is None:
                connection.execute(insert(token), row)
            elif known["expires"] < expires:
                replace_row(connection, token, row, issuer=issuer, token_id=token_id)
            return value

    def revoked(self, now: int) -> Mapping[tuple[str, str], int]:
        """See the port."""
        token = tables.revoked_token
        query = select(token).where(token.c.expires >= now)
        with self._database.reading() as connection:
            return {(r["issuer"], r["token_id"]): r["expires"] for r in rows(connection, query)}

    def epoch(self) -> int:
        """See the port."""
        with self._database.reading() as connection:
            return int(connection.execute(select(tables.epoch.c.value)).scalar_one())

    def bump(self) -> int:
        """See the port."""
        with self._database.writing() as connection:
            return _raise_epoch(connection)

    def prune(self, now: int) -> int:
        """See the port."""
        token = tables.revoked_token
        with self._database.writing() as connection:
            return connection.execute(delete(token).where(token.c.expires < now)).rowcount


def _raise_epoch(connection: Connection) -> int:
    value = tables.epoch.c.value
    raised = update(tables.epoch).values(value=value + 1).returning(value)
    return int(connection.execute(raised).scalar_one())


def _tenant_row(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "region": tenant.region,
        "suspended": tenant.suspended,
        "purposes_json": names_to_text(tenant.purposes),
        "not_before": tenant.not_before,
    }


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        region=row["region"],
        suspended=row["suspended"],
        purposes=names_from_text(row["purposes_json"]),
        not_before=row["not_before"],
    )


def _client_row(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "tenant": client.tenant,
        "name": client.name,
        "kind": client.kind,
        "roles_json": names_to_text(client.roles),
        "scopes_json": names_to_text(client.scopes),
        "purposes_json": names_to_text(client.purposes),
        "default_purpose": client.default_purpose,
        "auth_method": client.auth_method,
        "secret_hash": client.secret_hash,
        "jwks_json": None if client.jwks is None else to_text(client.jwks),
        "token_binding": client.token_binding,
        "disabled": client.disabled,
        "former_json": to_text(client.former) if client.former else None,
        "not_before": client.not_before,
        "redirect_uris_json": to_text(client.redirect_uris) if client.redirect_uris else None,
    }


def _client(row: RowMapping) -> Client:
    return Client(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        kind=row["kind"],
        roles=names_from_text(row["roles_json"]),
        scopes=names_from_text(row["scopes_json"]),
        purposes=names_from_text(row["purposes_json"]),
        default_purpose=row["default_purpose"],
        auth_method=row["auth_method"],
        secret_hash=row["secret_hash"],
        jwks=jwks_from_text(row["jwks_json"]),
        token_binding=row["token_binding"],
        disabled=row["disabled"],
        former=former_from_text(row["former_json"]),
        not_before=row["not_before"],
        redirect_uris=ordered_from_text(row["redirect_uris_json"] or "[]"),
    )
