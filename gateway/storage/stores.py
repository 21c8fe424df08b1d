"""All control-plane stores of one kind, as the composition root wants them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.identity.ports import ClientStore, RevocationStore, TenantStore
from gateway.lifecycle.ports import FederationStore, PendingStore, Registry, UploadStore
from gateway.storage.database import Database
from gateway.storage.memory import (
    MemoryBundleStore,
    MemoryClientStore,
    MemoryRevocationStore,
    MemoryTenantStore,
)
from gateway.storage.memory_lifecycle import (
    MemoryFederationStore,
    MemoryPendingStore,
    MemoryRegistry,
    MemoryUploadStore,
)
from gateway.storage.sql_identity import SqlClientStore, SqlRevocationStore, SqlTenantStore
from gateway.storage.sql_lifecycle import SqlFederationStore, SqlPendingStore, SqlUploadStore
from gateway.storage.sql_policies import SqlBundleStore
from gateway.storage.sql_registry import SqlRegistry
from policies.ports import BundleStore


@dataclass(frozen=True, slots=True)
class Stores:
    """One store for each port. `tests/contracts` holds every kind to the same promises."""

    tenants: TenantStore
    clients: ClientStore
    revocations: RevocationStore
    registry: Registry
    uploads: UploadStore
    federations: FederationStore
    pending: PendingStore
    bundles: BundleStore


def sql_stores(database: Database) -> Stores:
    """Return the stores of a database."""
    return Stores(
        tenants=SqlTenantStore(database),
        clients=SqlClientStore(database),
        revocations=SqlRevocationStore(database),
        registry=SqlRegistry(database),
        uploads=SqlUploadStore(database),
        federations=SqlFederationStore(database),
        pending=SqlPendingStore(database),
        bundles=SqlBundleStore(database),
    )


def memory_stores() -> Stores:
    """Return empty stores that end with the process."""
    return Stores(
        tenants=MemoryTenantStore(),
        clients=MemoryClientStore(),
        revocations=MemoryRevocationStore(),
        registry=MemoryRegistry(),
        uploads=MemoryUploadStore(),
        federations=MemoryFederationStore(),
        pending=MemoryPendingStore(),
        bundles=MemoryBundleStore(),
    )
