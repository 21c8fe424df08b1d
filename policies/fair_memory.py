"""A bounded memory that many share and that none of them can empty. Pure.

1. It holds at most `most` values. When it is full, those who have most give up some: of the tenant
   with the largest share half, of its callers the one with most first, the oldest values first. So
   a caller who asks for ever new things pushes out its own, then its tenant's, and nobody else's.
2. Reading takes nothing but a look into a dictionary, `known`. Making room is rare: a part of all
   is given up at once.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

SPARE: Final = 8
"""One value in so many is given up when there is no more room."""


class FairMemory(Generic[V]):
    """Values by key, each held for a caller of a tenant. For threads.

    Args:
        most: How many values.

    Attributes:
        known: The values; it stays the same object, so whoever reads often may hold it.
    """

    def __init__(self, most: int) -> None:
        self.known: dict[Hashable, V] = {}
        self._most = most
        self._lock = threading.Lock()
        self._keys: dict[str, dict[str, list[Hashable]]] = {}

    def keep(self, tenant: str, caller: str, key: Hashable, value: V) -> None:
        """Remember a value, also in place of another one of its key."""
        with self._lock:
            if key not in self.known:
                if len(self.known) >= self._most:
                    self._make_room()
                self._keys.setdefault(tenant, {}).setdefault(caller, []).append(key)
            self.known[key] = value

    def _make_room(self) -> None:
        goal = self._most - max(1, self._most // SPARE)
        for tenant in sorted(self._keys, key=self._share, reverse=True):
            self._halve(tenant)
            if len(self.known) <= goal:
                return

    def _share(self, tenant: str) -> int:
        return sum(map(len, self._keys[tenant].values()))

    def _halve(self, tenant: str) -> None:
        """Give up half of what a tenant has, and all of an only value."""
        callers = self._keys[tenant]
        left = (self._share(tenant) + 1) // 2
        for caller in sorted(callers, key=lambda each: len(callers[each]), reverse=True):
            gone, callers[caller] = callers[caller][:left], callers[caller][left:]
            for key in gone:
                del self.known[key]
            left -= len(gone)
        self._keys[tenant] = {caller: keys for caller, keys in callers.items() if keys}
        if not self._keys[tenant]:
            del self._keys[tenant]
