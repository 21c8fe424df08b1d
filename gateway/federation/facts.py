"""What policy may know of federations and their sites. Pure."""

from __future__ import annotations

from collections.abc import Callable

from gateway.federation.records import Federation, Site
from policies.facts import FederationFacts, SiteFacts, TenantFacts


def federation_resource(tenant: str, name: str) -> str:
    """Return how events name a federation."""
    return f"Federation::{tenant}/{name}"


def federation_facts(
    federation: Federation, tenant: Callable[[str], TenantFacts]
) -> FederationFacts:
    """Return the facts of a federation.

    Args:
        federation: The record.
        tenant: Returns the facts of a tenant.
    """
    return FederationFacts(
        tenant=tenant(federation.tenant),
        name=federation.name,
        sites=frozenset(federation.sites),
    )


def site_facts(site: Site, tenant: TenantFacts) -> SiteFacts:
    """Return the facts of a site of `tenant`."""
    return SiteFacts(tenant=tenant, name=site.name, revoked=site.revoked)
