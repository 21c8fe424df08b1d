"""The store of signed policy bundles, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.storage import tables
from gateway.storage.bounds import check_key, is_storable
from gateway.storage.database import Database
from gateway.storage.statements import rows
from policies.bundle import SignedBundle
from policies.errors import EpochExists


class SqlBundleStore:
    """`policies.ports.BundleStore`. Keeps the exact signed bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, bundle: SignedBundle) -> None:
        """See the port."""
        row = {"tenant": bundle.tenant, "epoch": bundle.epoch, "document": bundle.to_bytes()}
        with self._database.writing() as connection:
            try:
                connection.execute(insert(tables.policy_bundle), row)
            except IntegrityError:
                raise EpochExists from None

    def resign(self, bundle: SignedBundle) -> None:
        """See the port."""
        table, document = tables.policy_bundle, bundle.to_bytes()
        where = (table.c.tenant == bundle.tenant, table.c.epoch == bundle.epoch)
        with self._database.writing() as connection:
            query = select(table.c.document).where(*where).with_for_update()
            stored = connection.execute(query).scalar_one_or_none()
            if stored is None or SignedBundle.from_bytes(stored).digest != bundle.digest:
                raise EpochExists
            connection.execute(update(table).where(*where), {"document": document})

    def latest(self, tenant: str) -> SignedBundle | None:
        """See the port."""
        if not is_storable(tenant):
            return None
        bundle = tables.policy_bundle
        query = (
            select(bundle.c.document)
            .where(bundle.c.tenant == tenant)
            .order_by(bundle.c.epoch.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            document = connection.execute(query).scalar_one_or_none()
        return None if document is None else SignedBundle.from_bytes(document)

    def list(self, tenant: str, *, after: int, limit: int) -> Sequence[SignedBundle]:
        """See the port."""
        check_key(tenant)
        bundle = tables.policy_bundle
        query = (
            select(bundle.c.document)
            .where(bundle.c.tenant == tenant, bundle.c.epoch > after)
            .order_by(bundle.c.epoch)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [SignedBundle.from_bytes(row["document"]) for row in rows(connection, query)]

    def tenants(self, *, after: str, limit: int) -> Sequence[str]:
        """See the port."""
        check_key(after)
        tenant = tables.policy_bundle.c.tenant
        query = select(tenant).where(tenant > after).distinct().order_by(tenant).limit(limit)
        with self._database.reading() as connection:
            return [row["tenant"] for row in rows(connection, query)]
