"""What authorization asks of storage; every method is synchronous, callers use a thread."""

from __future__ import annotations

from typing import Protocol

from gateway.authorization.records import Pending


class PendingStore(Protocol):
    """Changes whose result is not known yet.

    A write that returned survives the death of the process.
    """

    def add_pending(self, pending: Pending) -> None:
        """Put it; key id."""

    def remove_pending(self, tenant: str, pending_id: str) -> None:
        """Forget it; nothing happens when it is absent."""

    def list_pending(self, *, after: tuple[int, str], limit: int) -> list[Pending]:
        """Rows of every tenant by (`at`, `id`), greater than `after`, ascending."""
