"""Requests that wait for a second person, in SQL."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import delete, select

from gateway.authorization.records import Approval
from gateway.errors import AlreadyExists
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.statements import put_new, rows

_APPROVAL = tables.approval.c


class SqlApprovalStore:
    """`gateway.authorization.ports.ApprovalStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_approval(self, approval: Approval) -> None:
        """See the port."""
        check_key(approval.tenant, approval.id)
        check_record(approval)
        with self._database.writing() as connection:
            put_new(connection, tables.approval, asdict(approval), AlreadyExists())

    def get_approval(self, tenant: str, approval_id: str) -> Approval | None:
        """See the port."""
        if not is_storable(tenant, approval_id):
            return None
        query = select(tables.approval).where(
            _APPROVAL.tenant == tenant, _APPROVAL.id == approval_id
        )
        with self._database.reading() as connection:
            found = [Approval(**row) for row in rows(connection, query)]
        return found[0] if found else None

    def remove_approval(self, tenant: str, approval_id: str) -> bool:
        """See the port."""
        if not is_storable(tenant, approval_id):
            return False
        gone = delete(tables.approval).where(
            _APPROVAL.tenant == tenant, _APPROVAL.id == approval_id
        )
        with self._database.writing() as connection:
            return connection.execute(gone).rowcount == 1

    def list_approvals(self, tenant: str, *, after: str, limit: int) -> list[Approval]:
        """See the port."""
        check_key(tenant, after)
        query = (
            select(tables.approval)
            .where(_APPROVAL.tenant == tenant, _APPROVAL.id > after)
            .order_by(_APPROVAL.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [Approval(**row) for row in rows(connection, query)]

    def clear_approvals(self) -> None:
        """See the port."""
        with self._database.writing() as connection:
            connection.execute(delete(tables.approval))
