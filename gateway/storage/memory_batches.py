"""Batch jobs and their parts in memory: for tests and tools, with every promise but durability."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from gateway.artifacts.upload import Rewrap
from gateway.batch.records import UNFINISHED, Batch, Part, Progress, Usage
from gateway.errors import AlreadyExists, StateConflict
from gateway.storage.bounds import check_key, check_record


class MemoryBatchStore:
    """`gateway.batch.ports.BatchStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: dict[str, Batch] = {}
        self._parts: dict[tuple[str, int], Part] = {}

    def add_batch(self, batch: Batch) -> None:
        """See the port."""
        check_key(batch.id, batch.tenant, batch.client)
        check_record(batch)
        with self._lock:
            if batch.id in self._batches:
                raise AlreadyExists
            self._batches[batch.id] = replace(batch, revision=0)

    def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """See the port."""
        batch = self._batches.get(batch_id)
        return batch if batch is not None and batch.tenant == tenant else None

    def replace_batch(self, batch: Batch) -> Batch:
        """See the port."""
        check_key(batch.id, batch.tenant, batch.client)
        check_record(batch)
        with self._lock:
            known = self.get_batch(batch.tenant, batch.id)
            if known is None or known.revision != batch.revision:
                raise StateConflict
            self._batches[batch.id] = replace(batch, revision=batch.revision + 1)
            return self._batches[batch.id]

    def remove_batch(self, tenant: str, batch_id: str) -> None:
        """See the port."""
        with self._lock:
            if self.get_batch(tenant, batch_id) is not None:
                self._drop_parts(tenant, batch_id)
                del self._batches[batch_id]

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        with self._lock:
            return _rewrap(self._batches, tenant, change) + _rewrap(self._parts, tenant, change)

    def list_batches(self, tenant: str, client: str, *, after: str, limit: int) -> list[Batch]:
        """See the port."""
        check_key(tenant, client, after)
        mine = [one for one in self._sorted() if (one.tenant, one.client) == (tenant, client)]
        return [batch for batch in mine if batch.id > after][:limit]

    def unfinished_batches(self, *, after: str, limit: int) -> list[Batch]:
        """See the port."""
        check_key(after)
        going = [batch for batch in self._sorted() if batch.state in UNFINISHED]
        return [batch for batch in going if batch.id > after][:limit]

    def expired_batches(self, now: int, *, after: tuple[int, str], limit: int) -> list[Batch]:
        """See the port."""
        ended = {(b.expires, b.id): b for b in self._sorted() if b.expires <= now}
        return [ended[key] for key in sorted(ended) if key > after][:limit]

    def usage(self, tenant: str, since: int) -> Usage:
        """See the port."""
        check_key(tenant)
        mine = [batch for batch in self._sorted() if batch.tenant == tenant]
        recent = [batch for batch in mine if batch.created >= since]
        return Usage(
            sum(batch.state in UNFINISHED for batch in mine),
            sum(batch.rows for batch in recent),
            sum(batch.length for batch in recent),
        )

    def put_part(self, part: Part) -> None:
        """See the port."""
        check_key(part.batch, part.tenant)
        check_record(part)
        with self._lock:
            self._parts[part.batch, part.number] = part

    def get_part(self, tenant: str, batch_id: str, number: int) -> Part | None:
        """See the port."""
        part = self._parts.get((batch_id, number))
        return part if part is not None and part.tenant == tenant else None

    def list_parts(self, tenant: str, batch_id: str, *, after: int, limit: int) -> list[Part]:
        """See the port."""
        check_key(tenant, batch_id)
        return [part for part in self._of(tenant, batch_id) if part.number > after][:limit]

    def next_part(self, tenant: str, batch_id: str) -> Part | None:
        """See the port."""
        check_key(tenant, batch_id)
        going = [one for one in self._of(tenant, batch_id) if one.state in ("waiting", "kept")]
        return going[0] if going else None

    def parts_about(self, tenant: str, ref: str, *, limit: int) -> list[Part]:
        """See the port."""
        check_key(tenant, ref)
        with self._lock:
            mine = [p for p in self._parts.values() if p.tenant == tenant and p.state != "erased"]
        mine = [part for part in mine if ref in part.refs]
        return sorted(mine, key=lambda part: (part.batch, part.number))[:limit]

    def remove_parts(self, tenant: str, batch_id: str) -> None:
        """See the port."""
        check_key(tenant, batch_id)
        with self._lock:
            self._drop_parts(tenant, batch_id)

    def progress(self, tenant: str, batch_id: str) -> Progress:
        """See the port."""
        ended = [one for one in self._of(tenant, batch_id) if one.state in ("ready", "erased")]
        return Progress(
            len(ended), sum(part.rows for part in ended), sum(part.refused for part in ended)
        )

    def _sorted(self) -> list[Batch]:
        with self._lock:
            return sorted(self._batches.values(), key=lambda batch: batch.id)

    def _of(self, tenant: str, batch_id: str) -> list[Part]:
        with self._lock:
            mine = [p for p in self._parts.values() if (p.tenant, p.batch) == (tenant, batch_id)]
        return sorted(mine, key=lambda part: part.number)

    def _drop_parts(self, tenant: str, batch_id: str) -> None:
        for key in [k for k, p in self._parts.items() if (p.tenant, p.batch) == (tenant, batch_id)]:
            del self._parts[key]


def _rewrap(held: dict[Any, Batch] | dict[Any, Part], tenant: str, change: Rewrap) -> int:
    count = 0
    for key, record in held.items():
        source = record.source if record.tenant == tenant else None
        if source is not None and (fresh := change(source)) != source:
            held[key] = replace(record, source=fresh)  # type: ignore[assignment]  # its own kind
            count += 1
    return count
