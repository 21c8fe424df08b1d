"""Changes under way, in SQL."""

from __future__ import annotations

from sqlalchemy import and_, delete, or_, select

from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import facts_from_text, to_text
from gateway.storage.statements import put_new, rows

_PENDING = tables.pending.c


class SqlPendingStore:
    """`gateway.authorization.ports.PendingStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_pending(self, pending: Pending) -> None:
        """See the port."""
        check_key(pending.id, pending.tenant)
        check_record(pending)
        row = {
            "id": pending.id,
            "tenant": pending.tenant,
            "kind": pending.kind,
            "facts_json": to_text(pending.facts),
            "at": pending.at,
        }
        with self._database.writing() as connection:
            put_new(connection, tables.pending, row, AlreadyExists())

    def remove_pending(self, tenant: str, pending_id: str) -> None:
        """See the port."""
        if is_storable(tenant, pending_id):
            gone = delete(tables.pending).where(
                _PENDING.id == pending_id, _PENDING.tenant == tenant
            )
            with self._database.writing() as connection:
                connection.execute(gone)

    def list_pending(self, *, after: tuple[int, str], limit: int) -> list[Pending]:
        """See the port."""
        at, id_ = after
        later = or_(_PENDING.at > at, and_(_PENDING.at == at, _PENDING.id > id_))
        query = select(tables.pending).where(later).order_by(_PENDING.at, _PENDING.id).limit(limit)
        with self._database.reading() as connection:
            return [
                Pending(
                    id=row["id"],
                    tenant=row["tenant"],
                    kind=row["kind"],
                    facts=facts_from_text(row["facts_json"]),
                    at=row["at"],
                )
                for row in rows(connection, query)
            ]
