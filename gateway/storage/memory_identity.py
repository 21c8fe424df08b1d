"""Identity's stores in memory, for tests and tools: every promise but durability.

Records are copied on their way in and out, so nobody shares a mapping with the store.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from copy import deepcopy

from gateway.errors import AlreadyExists
from gateway.identity.errors import UnknownRecord
from gateway.identity.records import Client, Tenant
from gateway.storage.bounds import check_key, check_record


class MemoryTenantStore:
    """`gateway.identity.ports.TenantStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tenants: dict[str, Tenant] = {}

    def get(self, tenant_id: str) -> Tenant | None:
        """See the port."""
        return self._tenants.get(tenant_id)

    def add(self, tenant: Tenant) -> None:
        """See the port."""
        check_key(tenant.id)
        check_record(tenant)
        with self._lock:
            if tenant.id in self._tenants:
                raise AlreadyExists
            self._tenants[tenant.id] = tenant

    def update(self, tenant: Tenant) -> None:
        """See the port."""
        check_key(tenant.id)
        check_record(tenant)
        with self._lock:
            if tenant.id not in self._tenants:
                raise UnknownRecord
            self._tenants[tenant.id] = tenant

    def list(self, after: str | None, limit: int) -> Sequence[Tenant]:
        """See the port."""
        check_key(after or "")
        with self._lock:
            return [self._tenants[key] for key in sorted(self._tenants) if key > (after or "")][
                :limit
            ]


class MemoryClientStore:
    """`gateway.identity.ports.ClientStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[str, Client] = {}

    def get(self, client_id: str) -> Client | None:
        """See the port."""
        return deepcopy(self._clients.get(client_id))

    def add(self, client: Client) -> None:
        """See the port."""
        check_key(client.id, client.tenant)
        check_record(client)
        with self._lock:
            if client.id in self._clients:
                raise AlreadyExists
            self._clients[client.id] = deepcopy(client)

    def update(self, client: Client) -> None:
        """See the port."""
        check_key(client.id, client.tenant)
        check_record(client)
        with self._lock:
            known = self._clients.get(client.id)
            if known is None or known.tenant != client.tenant:
                raise UnknownRecord
            self._clients[client.id] = deepcopy(client)

    def list(self, tenant: str, after: str | None, limit: int) -> Sequence[Client]:
        """See the port."""
        check_key(tenant, after or "")
        with self._lock:
            mine = [c for c in self._clients.values() if c.tenant == tenant]
        chosen = sorted((c for c in mine if c.id > (after or "")), key=lambda c: c.id)
        return deepcopy(chosen[:limit])


class MemoryRevocationStore:
    """`gateway.identity.ports.RevocationStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._tokens: dict[tuple[str, str], int] = {}

    def revoke_token(self, issuer: str, token_id: str, expires: int) -> int:
        """See the port."""
        check_key(issuer, token_id)
        check_record((expires,))
        with self._lock:
            key = (issuer, token_id)
            self._tokens[key] = max(expires, self._tokens.get(key, expires))
            self._epoch += 1
            return self._epoch

    def revoked(self, now: int) -> Mapping[tuple[str, str], int]:
        """See the port."""
        with self._lock:
            return {key: expires for key, expires in self._tokens.items() if expires >= now}

    def epoch(self) -> int:
        """See the port."""
        return self._epoch

    def bump(self) -> int:
        """See the port."""
        with self._lock:
            self._epoch += 1
            return self._epoch

    def prune(self, now: int) -> int:
        """See the port."""
        with self._lock:
            kept = {key: expires for key, expires in self._tokens.items() if expires >= now}
            gone = len(self._tokens) - len(kept)
            self._tokens = kept
            return gone
