"""Bytes of request bodies that are held at the same time, through whatever door they came. Pure."""

from __future__ import annotations

from typing import Final

from gateway.inference.errors import TooManyRequests

# Bodies held at the same time. A body of the default bound fits four times into a tenant's share.
TENANT_BYTES: Final = 128 << 20
ALL_BYTES: Final = 512 << 20


class BodyBudget:
    """Bytes of bodies that are held at the same time: by all, and by one tenant."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._all = 0

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._all

    def take(self, tenant: str, count: int) -> None:
        """Count bytes that arrived.

        Raises:
            TooManyRequests: Too many bytes are held for the tenant, or for all.
        """
        held = self._held.get(tenant, 0) + count
        if held > TENANT_BYTES or self._all + count > ALL_BYTES:
            raise TooManyRequests
        self._held[tenant] = held
        self._all += count

    def give_back(self, tenant: str, count: int) -> None:
        """Count bytes that are held no more."""
        self._all -= count
        self._held[tenant] -= count
        if not self._held[tenant]:
            del self._held[tenant]
