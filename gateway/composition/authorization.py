"""The two parts that every use case needs: the recorder and the guard."""

from __future__ import annotations

from functools import partial

from audit.event import PLATFORM_TENANT
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Recorder
from gateway.composition.bootstrap import FOUNDED, SOLO
from gateway.composition.foundation import Foundation
from gateway.federation.facts import site_facts
from gateway.people.steerers import Steerers
from gateway.tenancy.solo import SoloMode
from policies.facts import SiteFacts, TenantFacts

BOOT_ID_BYTES = 8


def make_recorder(base: Foundation) -> Recorder:
    """Make the recorder of this start of the gateway."""
    environment = base.environment
    return Recorder(
        base.log,
        clock=environment.clock,
        random_bytes=environment.random_bytes,
        gateway_id=base.settings.audit_origin,
        boot_id=environment.random_bytes(BOOT_ID_BYTES).hex(),
        region=base.settings.region,
    )


def make_guard(base: Foundation, recorder: Recorder) -> Guard:
    """Make the guard; a site's client has the id of its site."""

    def epoch() -> int:
        return base.revocation_state.epoch

    def site_of(tenant: TenantFacts, client: str) -> SiteFacts | None:
        site = base.stores.federations.get_site(tenant.id, client)
        return site_facts(site, tenant) if site is not None else None

    clock = base.environment.clock
    steerers = Steerers(base.stores.people, base.stores.passkeys)
    return Guard(
        base.engine,
        base.stores.tenants,
        recorder,
        site_of=site_of,
        confirm=base.revocation_state.confirm,
        region=base.settings.region,
        epoch=epoch,
        solo=SoloMode(
            base.stores.clients,
            solo_since(base),
            clock,
            epoch,
            partial(steerers.administrators, PLATFORM_TENANT),
        ),
        four_eyes=frozenset(base.settings.four_eyes),
    )


def solo_since(base: Foundation) -> int | None:
    """Return when the recorded solo mode began (Unix seconds), or `None` if it never did."""
    entries = base.reader.events(PLATFORM_TENANT, limit=1)
    first = entries[0].event if entries else None
    if first is None or (first.action, first.reason) != (FOUNDED, SOLO):
        return None
    return first.ts // 1_000_000_000
