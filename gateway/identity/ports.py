"""What identity needs from storage, as promises.

Every method is synchronous and may block: callers on an event loop use a thread. A method that
changes something returns only once the change is durable and visible to every later read of any
instance on the same database. Something absent is the result `None`, never an error. Identifiers
are compared byte for byte, upper and lower case apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.identity.records import Client, Tenant


class TenantStore(Protocol):
    """The tenants."""

    def get(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None when there is none of that id."""
        ...

    def add(self, tenant: Tenant) -> None:
        """Store a new tenant.

        Raises:
            AlreadyExists: The id is taken; the stored tenant is left as it was.
        """
        ...

    def update(self, tenant: Tenant) -> None:
        """Replace the stored tenant of the same id as a whole.

        Raises:
            UnknownRecord: There is none of that id.
        """
        ...

    def list(self, after: str | None, limit: int) -> Sequence[Tenant]:
        """Return up to `limit` tenants with an id greater than `after`, by id (bytewise)."""
        ...


class ClientStore(Protocol):
    """The registered clients. Ids are unique over all tenants."""

    def get(self, client_id: str) -> Client | None:
        """Return the client, or None when there is none of that id."""
        ...

    def add(self, client: Client) -> None:
        """Store a new client.

        Raises:
            AlreadyExists: The id is taken, by whichever tenant; nothing is changed.
        """
        ...

    def update(self, client: Client) -> None:
        """Replace the stored client of the same id and the same tenant as a whole.

        Raises:
            UnknownRecord: There is none of that id in that tenant: a client never changes tenant.
        """
        ...

    def list(self, tenant: str, after: str | None, limit: int) -> Sequence[Client]:
        """Return up to `limit` clients of `tenant` with an id greater than `after`, by id."""
        ...


class RevocationStore(Protocol):
    """Revoked tokens and the epoch that tells replicas that something was taken away."""

    def revoke_token(self, issuer: str, token_id: str, expires: int) -> int:
        """Record that a token is revoked and bump the epoch, in one transaction.

        Idempotent: revoking twice keeps the later expiry.

        Args:
            issuer: The token's `iss`.
            token_id: The token's `jti`, unique only within its issuer.
            expires: Unix seconds after which the record may be forgotten.

        Returns:
            The new epoch.
        """
        ...

    def revoked(self, now: int) -> Mapping[tuple[str, str], int]:
        """Return every revoked token that has `expires >= now`: `(issuer, token id) -> expires`."""
        ...

    def epoch(self) -> int:
        """Return the durable epoch: 0 in a fresh store, never lower than an earlier answer."""
        ...

    def bump(self) -> int:
        """Raise the epoch by one, durably and atomically, and return the new value."""
        ...

    def prune(self, now: int) -> int:
        """Forget revoked tokens that have `expires < now`; return how many. Keeps the epoch."""
        ...
