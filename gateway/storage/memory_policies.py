"""Signed policy sets in memory: for tests and tools, with every promise but durability."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from gateway.storage.bounds import check_key
from policies.bundle import SignedBundle
from policies.errors import EpochExists


class MemoryBundleStore:
    """`policies.ports.BundleStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bundles: dict[tuple[str, int], SignedBundle] = {}

    def put(self, bundle: SignedBundle) -> None:
        """See the port."""
        kept = SignedBundle.from_bytes(bundle.to_bytes())
        with self._lock:
            if (bundle.tenant, bundle.epoch) in self._bundles:
                raise EpochExists
            self._bundles[bundle.tenant, bundle.epoch] = kept

    def resign(self, bundle: SignedBundle) -> None:
        """See the port."""
        kept = SignedBundle.from_bytes(bundle.to_bytes())
        with self._lock:
            stored = self._bundles.get((bundle.tenant, bundle.epoch))
            if stored is None or stored.digest != kept.digest:
                raise EpochExists
            self._bundles[bundle.tenant, bundle.epoch] = kept

    def latest(self, tenant: str) -> SignedBundle | None:
        """See the port."""
        with self._lock:
            epochs = [epoch for owner, epoch in self._bundles if owner == tenant]
            return self._bundles[tenant, max(epochs)] if epochs else None

    def list(self, tenant: str, *, after: int, limit: int) -> Sequence[SignedBundle]:
        """See the port."""
        check_key(tenant)
        with self._lock:
            keys = sorted(key for key in self._bundles if key[0] == tenant and key[1] > after)
            return [self._bundles[key] for key in keys[:limit]]

    def tenants(self, *, after: str, limit: int) -> Sequence[str]:
        """See the port."""
        check_key(after)
        with self._lock:
            return sorted({owner for owner, _ in self._bundles if owner > after})[:limit]
