"""What authorization asks of storage; every method is synchronous, callers use a thread."""

from __future__ import annotations

from typing import Protocol

from gateway.authorization.records import Pending


class PendingStore(Protocol):
    """Intents whose result is not known yet."""

    def add_pending(self, pending: Pending) -> None:
        """Put it; key id."""

    def remove_pending(self, tenant: str, pending_id: str) -> None:
        """Forget it; nothing happens when it is absent."""

    def list_pending(self, *, limit: int) -> list[Pending]:
        """Pending work of every tenant, oldest first."""
