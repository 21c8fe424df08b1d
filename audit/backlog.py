"""The bounded queue of events that wait to be written, fair between tenants.

1. What waits is bounded in number and bytes; beyond that an event is refused at once.
2. A tenant can fill its share only. Even when the whole is full, every tenant has a few
   reserved places, so that a flood from others refuses nobody else.
3. A batch takes from all waiting tenants in turn, so that nobody waits behind a flood for
   longer than a batch.

Pure and without locks: the log holds its own around every call.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

_MIB = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the log. The defaults hold for one gateway with 2 cores and 5 ms fsync.

    Attributes:
        queue_events: Waiting events: two seconds of what the disk takes.
        queue_bytes: Waiting bytes, far above typical events, below harm to the process.
        tenant_events: One tenant's share of `queue_events`.
        reserved_events: Places that each tenant has even in a full queue.
        batch_events: Events in one transaction, so that it takes well below the deadline.
        batch_bytes: Bytes of event bodies in one transaction.
        batch_trees: Tenants in one transaction: each costs a signature.
        deadline_seconds: How long an append may wait before it is refused.
        idle_seconds: How often, when idle, heads are pinned and a failed store is probed.
        settle_events: Events after which the store does what its commits left for later: enough to
            share the cost, few enough that those who wait meanwhile notice nothing.
        linger_seconds: How long to gather more events after a batch of several: those that are
            about to come. A single caller is never kept waiting.
    """

    queue_events: int = 16_384
    queue_bytes: int = 64 * _MIB
    tenant_events: int = 4_096
    reserved_events: int = 16
    batch_events: int = 4_096
    batch_bytes: int = 16 * _MIB
    batch_trees: int = 256
    deadline_seconds: float = 5.0
    idle_seconds: float = 1.0
    settle_events: int = 256
    linger_seconds: float = 0.0003


class Backlog(Generic[T]):
    """Waiting items by tenant, each with its size in bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, tenant: str, item: T, size: int) -> bool:
        """Take an item in, or return False if there is no place for it."""
        lane = self._lanes.get(tenant)
        waiting = len(lane) if lane is not None else 0
        limits = self._limits
        if waiting >= limits.reserved_events and (
            waiting >= limits.tenant_events
            or self._count >= limits.queue_events
            or self._bytes + size > limits.queue_bytes
        ):
            return False
        if lane is None:
            lane = self._lanes[tenant] = deque()
        lane.append((item, size))
        self._count += 1
        self._bytes += size
        return True

    def take(self) -> dict[str, list[T]]:
        """Remove and return the next batch, by tenant, each tenant's items in order."""
        limits = self._limits
        room, space = limits.batch_events, limits.batch_bytes
        batch: dict[str, list[T]] = {}
        chosen = list(self._lanes)[: limits.batch_trees]
        while chosen and room > 0 and space > 0:
            turn = max(1, room // len(chosen))
            for tenant in chosen:
                taken, used = self._drain(tenant, min(turn, room), space)
                if taken:
                    batch.setdefault(tenant, []).extend(taken)
                room -= len(taken)
                space -= used
            chosen = [tenant for tenant in chosen if tenant in self._lanes]
        return batch

    def _drain(self, tenant: str, most: int, space: int) -> tuple[list[T], int]:
        """Take up to `most` items, stopping after the one that fills the space."""
        lane = self._lanes[tenant]
        taken: list[T] = []
        used = 0
        while lane and len(taken) < most and used < space:
            item, size = lane.popleft()
            taken.append(item)
            used += size
        self._count -= len(taken)
        self._bytes -= used
        if lane:
            self._lanes.move_to_end(tenant)
        else:
            del self._lanes[tenant]
        return taken, used
