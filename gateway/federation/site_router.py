"""Where a site's key leads right now: to its tenant's SuperLink, or nowhere.

A SuperLink keeps its nodes in memory. So a site is introduced to it when it first calls, and again
after the SuperLink was not where it used to be: sites come back by themselves after any restart.
"""

from __future__ import annotations

from gateway.authorization.guard import Guard
from gateway.errors import NotFound
from gateway.federation.coordinator import Coordinator
from gateway.federation.ports import FederationStore
from gateway.federation.records import Site


class SiteRouter:
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
        self._urls: dict[str, dict[str, str]] = {}

    def open_for(self, public_key: str) -> tuple[Site, str] | None:
        """Return the site of a canonical key and where its calls go; None when it may not pass.

        Raises:
            CoordinatorUnavailable: It may pass, and the SuperLink does not run yet: try again.
        """
        site = self._store.site_by_key(public_key)
        if site is None or site.revoked:
            return None
        try:
            if self._guard.tenant(site.tenant).suspended:
                return None
        except NotFound:
            return None
        known = self._urls.setdefault(site.tenant, {})
        if public_key not in known:
            self._coordinator.add_node(site.tenant, public_key)
            known[public_key] = self._coordinator.fleet_url(site.tenant)
        return site, known[public_key]

    def forget(self, tenant: str) -> None:
        """Ask the coordinator again: the SuperLink did not answer where it used to."""
        self._urls.pop(tenant, None)
