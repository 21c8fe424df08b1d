"""All control-plane stores of one kind, made together."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.authorization.ports import ApprovalStore, PendingStore
from gateway.batch.ports import BatchStore
from gateway.federation.ports import FederationStore
from gateway.identity.passkeys import PasskeyStore
from gateway.identity.people_ports import PersonStore, SignInStore, TicketStore
from gateway.identity.ports import ClientStore, RevocationStore, TenantStore
from gateway.registry.ports import Registry, UploadStore
from gateway.storage.database import Database
from gateway.storage.memory_approvals import MemoryApprovalStore
from gateway.storage.memory_batches import MemoryBatchStore
from gateway.storage.memory_federation import MemoryFederationStore
from gateway.storage.memory_identity import (
    MemoryClientStore,
    MemoryRevocationStore,
    MemoryTenantStore,
)
from gateway.storage.memory_passkeys import MemoryPasskeyStore
from gateway.storage.memory_pending import MemoryPendingStore
from gateway.storage.memory_people import (
    Kept,
    MemoryPersonStore,
    MemorySignInStore,
    MemoryTicketStore,
)
from gateway.storage.memory_policies import MemoryBundleStore
from gateway.storage.memory_registry import MemoryRegistry
from gateway.storage.memory_uploads import MemoryUploadStore
from gateway.storage.sql_approvals import SqlApprovalStore
from gateway.storage.sql_batches import SqlBatchStore
from gateway.storage.sql_federation import SqlFederationStore
from gateway.storage.sql_identity import SqlClientStore, SqlRevocationStore, SqlTenantStore
from gateway.storage.sql_passkeys import SqlPasskeyStore
from gateway.storage.sql_pending import SqlPendingStore
from gateway.storage.sql_people import SqlPersonStore, SqlSignInStore, SqlTicketStore
from gateway.storage.sql_policies import SqlBundleStore
from gateway.storage.sql_registry import SqlRegistry
from gateway.storage.sql_uploads import SqlUploadStore
from policies.ports import BundleStore


@dataclass(frozen=True, slots=True)
class ControlStores:
    """One store for each port. `tests/contracts` holds every kind to the same promises."""

    tenants: TenantStore
    clients: ClientStore
    people: PersonStore
    sign_ins: SignInStore
    tickets: TicketStore
    passkeys: PasskeyStore
    revocations: RevocationStore
    registry: Registry
    uploads: UploadStore
    federations: FederationStore
    batches: BatchStore
    pending: PendingStore
    approvals: ApprovalStore
    bundles: BundleStore


def sql_stores(database: Database) -> ControlStores:
    """Return the stores of a database."""
    return ControlStores(
        tenants=SqlTenantStore(database),
        clients=SqlClientStore(database),
        people=SqlPersonStore(database),
        sign_ins=SqlSignInStore(database),
        tickets=SqlTicketStore(database),
        passkeys=SqlPasskeyStore(database),
        revocations=SqlRevocationStore(database),
        registry=SqlRegistry(database),
        uploads=SqlUploadStore(database),
        federations=SqlFederationStore(database),
        batches=SqlBatchStore(database),
        pending=SqlPendingStore(database),
        approvals=SqlApprovalStore(database),
        bundles=SqlBundleStore(database),
    )


def memory_stores() -> ControlStores:
    """Return empty stores that end with the process."""
    kept = Kept()
    return ControlStores(
        tenants=MemoryTenantStore(),
        clients=MemoryClientStore(),
        people=MemoryPersonStore(kept),
        sign_ins=MemorySignInStore(kept),
        tickets=MemoryTicketStore(kept),
        passkeys=MemoryPasskeyStore(kept),
        revocations=MemoryRevocationStore(),
        registry=MemoryRegistry(),
        uploads=MemoryUploadStore(),
        federations=MemoryFederationStore(),
        batches=MemoryBatchStore(),
        pending=MemoryPendingStore(),
        approvals=MemoryApprovalStore(),
        bundles=MemoryBundleStore(),
    )
