"""The application of the site door."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import httpx

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Recorder
from gateway.composition.foundation import Foundation
from gateway.federation.coordinator import Coordinator
from gateway.federation.records import Site
from gateway.federation.site_router import SiteRouter
from gateway.federation.watching import Watching
from gateway.request_lines import RequestLines
from gateway.telemetry import Metrics
from gateway.web.boundary import Boundary
from gateway.web.fleet import FleetRelay

DOOR: Final = "sites"
# A held pull of a site is answered after 20 s at the latest.
FLEET_TIMEOUT: Final = 60.0


def site_app(
    base: Foundation,
    guard: Guard,
    recorder: Recorder,
    coordinator: Coordinator,
    watching: Watching,
    metrics: Metrics,
    lines: RequestLines,
) -> Boundary:
    """Make the application; its client for SuperLinks lives as long as the process."""
    router = SiteRouter(base.stores.federations, guard, coordinator)

    async def open_for(key: str) -> tuple[Site, str] | None:
        found = await asyncio.to_thread(router.open_for, key)
        if found is not None:
            watching.contact(found[0])
        return found

    async def connected(site: Site, call: str) -> None:
        event = recorder.event_for(
            None,
            "joinFederation",
            "done",
            tenant=site.tenant,
            resource=f"Site::{site.tenant}/{site.name}",
            reason=call,
        )
        await asyncio.to_thread(recorder.write, event)

    relay = FleetRelay(
        open_for,
        httpx.AsyncClient(timeout=FLEET_TIMEOUT),
        base.environment.clock,
        connected=connected,
        lost=router.forget,
    )
    count = partial(metrics.count_request, DOOR)
    return Boundary(relay, recorder.new_id, count=count, lines=lines, door=DOOR)
