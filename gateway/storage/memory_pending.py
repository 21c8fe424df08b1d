"""Changes under way in memory: for tests and tools, with every promise but durability."""

from __future__ import annotations

import threading
from copy import deepcopy

from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists
from gateway.storage.bounds import check_key, check_record


class MemoryPendingStore:
    """`gateway.authorization.ports.PendingStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, Pending] = {}

    def add_pending(self, pending: Pending) -> None:
        """See the port."""
        check_key(pending.id, pending.tenant)
        check_record(pending)
        with self._lock:
            if pending.id in self._pending:
                raise AlreadyExists
            self._pending[pending.id] = deepcopy(pending)

    def remove_pending(self, tenant: str, pending_id: str) -> None:
        """See the port."""
        with self._lock:
            pending = self._pending.get(pending_id)
            if pending is not None and pending.tenant == tenant:
                del self._pending[pending_id]

    def list_pending(self, *, after: tuple[int, str], limit: int) -> list[Pending]:
        """See the port."""
        with self._lock:
            rows = {(row.at, row.id): row for row in self._pending.values()}
        return deepcopy([rows[key] for key in sorted(rows) if key > after][:limit])
