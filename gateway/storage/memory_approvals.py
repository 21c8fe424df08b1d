"""Requests that wait for a second person, in memory: for tests and tools, not durable."""

from __future__ import annotations

import threading

from gateway.authorization.records import Approval
from gateway.errors import AlreadyExists
from gateway.storage.bounds import check_key, check_record


class MemoryApprovalStore:
    """`gateway.authorization.ports.ApprovalStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._approvals: dict[tuple[str, str], Approval] = {}

    def add_approval(self, approval: Approval) -> None:
        """See the port."""
        check_key(approval.tenant, approval.id)
        check_record(approval)
        with self._lock:
            if (approval.tenant, approval.id) in self._approvals:
                raise AlreadyExists
            self._approvals[approval.tenant, approval.id] = approval

    def get_approval(self, tenant: str, approval_id: str) -> Approval | None:
        """See the port."""
        with self._lock:
            return self._approvals.get((tenant, approval_id))

    def remove_approval(self, tenant: str, approval_id: str) -> bool:
        """See the port."""
        with self._lock:
            return self._approvals.pop((tenant, approval_id), None) is not None

    def list_approvals(self, tenant: str, *, after: str, limit: int) -> list[Approval]:
        """See the port."""
        check_key(tenant, after)
        with self._lock:
            keys = sorted(key for key in self._approvals if key[0] == tenant and key[1] > after)
            return [self._approvals[key] for key in keys[:limit]]

    def clear_approvals(self) -> None:
        """See the port."""
        with self._lock:
            self._approvals.clear()
