"""Where a site's key leads right now: to its tenant's SuperLink, or nowhere."""

from __future__ import annotations

from gateway.lifecycle.coordinator import Coordinator
from gateway.lifecycle.errors import CoordinatorUnavailable, NotFound
from gateway.lifecycle.guard import Guard
from gateway.lifecycle.ports import FederationStore
from gateway.lifecycle.records import Site


class SiteDoor:
    """Looks keys up; every answer is as of the moment of the call.

    Args:
        store: Where sites are registered.
        guard: Knows which tenants are suspended.
        coordinator: Knows the SuperLinks.
    """

    def __init__(self, store: FederationStore, guard: Guard, coordinator: Coordinator) -> None:
        self._store = store
        self._guard = guard
        self._coordinator = coordinator
        self._urls: dict[str, str] = {}

    def open_for(self, public_key: str) -> tuple[Site, str] | None:
        """Return the site of a canonical key and where its calls go; None when it may not pass."""
        site = self._store.site_by_key(public_key)
        if site is None or site.revoked:
            return None
        try:
            if self._guard.tenant(site.tenant).suspended:
                return None
            url = self._urls.get(site.tenant) or self._coordinator.fleet_url(site.tenant)
        except (NotFound, CoordinatorUnavailable):
            return None
        self._urls[site.tenant] = url
        return site, url

    def forget(self, tenant: str) -> None:
        """Ask the coordinator again: the SuperLink did not answer where it used to."""
        self._urls.pop(tenant, None)
