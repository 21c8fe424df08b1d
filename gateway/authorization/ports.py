"""What authorization asks of storage; every method is synchronous, callers use a thread."""

from __future__ import annotations

from typing import Protocol

from gateway.authorization.records import Approval, Pending


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


class ApprovalStore(Protocol):
    """Requests that wait for a second person, by (tenant, id).

    A write that returned survives the death of the process.
    """

    def add_approval(self, approval: Approval) -> None:
        """Put it.

        Raises:
            AlreadyExists: There is one of that id.
        """

    def get_approval(self, tenant: str, approval_id: str) -> Approval | None:
        """Return it; None when it is absent."""

    def remove_approval(self, tenant: str, approval_id: str) -> bool:
        """Forget it; True for exactly one of all who remove it."""

    def list_approvals(self, tenant: str, *, after: str, limit: int) -> list[Approval]:
        """Those of a tenant by id, greater than `after`, ascending."""

    def clear_approvals(self) -> None:
        """Forget those of all tenants."""
