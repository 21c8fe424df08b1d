"""From the parts of a running gateway to its use cases, its control-plane routes, its site door."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import httpx
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from gateway.artifacts.admission import admit
from gateway.artifacts.sandbox import Alarm, run_sandboxed
from gateway.composition.recovery import Reconciliation
from gateway.federation.federations import Federations
from gateway.federation.records import Site
from gateway.federation.run_follower import RunFollower
from gateway.federation.site_router import SiteRouter
from gateway.federation.trained import TrainedModels
from gateway.privacy.audit_access import AuditAccess
from gateway.privacy.subjects import Subjects
from gateway.registry.catalogue import Catalogue
from gateway.registry.delivery import Delivery
from gateway.registry.packaging import Packager
from gateway.registry.publish import Publisher
from gateway.registry.releases import Releases
from gateway.registry.uploads import Uploads
from gateway.tenancy.administration import Administration
from gateway.tenancy.policy_sets import PolicySets
from gateway.web import (
    administration,
    artifacts,
    audit,
    federations,
    jobs,
    models,
    policies,
    subjects,
    uploads,
)
from gateway.web.authenticated import Authenticated
from gateway.web.bounded_body import BoundedBody
from gateway.web.dependencies import Services, UseCases, attach
from gateway.web.fleet import FleetRelay
from gateway.work.jobs import WORKERS, Jobs
from policies.compiled import starter_text

STOP_SECONDS: Final = 3.0
"""Until the process ends whatever a job does; what did not end is ended at the next start."""


def compose(parts: Services) -> UseCases:
    """Make the use cases; starts nothing but idle worker threads."""
    guard, recorder, clock = parts.guard, parts.recorder, parts.clock
    queue = Jobs(ThreadPoolExecutor(WORKERS, thread_name_prefix="job"), recorder.new_id)
    results = ThreadPoolExecutor(1, thread_name_prefix="result")
    alarm = Alarm()
    confined = partial(run_sandboxed, alarm=alarm)
    catalogue = Catalogue(parts.registry, guard, changed=parts.changed, clock=clock)
    kept = Uploads(
        parts.uploads,
        parts.registry,
        parts.sealer.remove,
        guard,
        clock=clock,
        new_id=recorder.new_id,
    )
    publisher = Publisher(
        parts.registry,
        kept,
        parts.sealer,
        Packager(
            parts.sealer,
            parts.keys.release_key,
            admit=partial(admit, run=confined),
            run_sandboxed=confined,
            clock=clock,
        ),
        guard=guard,
        recorder=recorder,
        pending=parts.pending,
        changed=parts.changed,
        clock=clock,
    )
    follower = _follower(parts, publisher)
    delivery = Delivery(catalogue, guard, recorder, parts.pending, parts.sealer.header_for, clock)

    def close() -> None:
        alarm.ring()
        if follower is not None:
            follower.stop()
        if not queue.close(STOP_SECONDS):
            structlog.get_logger().warning("jobs_unfinished")
        results.shutdown()

    rights = Subjects(parts.log, parts.reader, parts.vault, guard, recorder, parts.pending, clock)
    return UseCases(
        authenticator=parts.authenticator,
        new_id=recorder.new_id,
        jobs=queue,
        catalogue=catalogue,
        uploads=kept,
        publisher=publisher,
        releases=Releases(parts.registry, catalogue, guard, changed=parts.changed, clock=clock),
        delivery=delivery,
        sealer=parts.sealer,
        artifacts=parts.artifacts,
        max_upload_bytes=parts.settings.max_upload_bytes,
        body_timeout_seconds=parts.settings.body_timeout_seconds,
        results=results,
        subjects=rights,
        policies=PolicySets(parts.author, catalogue, guard),
        administration=_administration(parts),
        federations=Federations(
            parts.federations,
            parts.registry,
            guard,
            parts.coordinator,
            follower=follower,
            revoked=parts.changed,
            clock=clock,
            new_id=recorder.new_id,
        ),
        follower=follower,
        audit=AuditAccess(parts.log, parts.reader, guard),
        reconciliation=Reconciliation(
            parts.pending,
            {
                "publish": publisher.end_interrupted,
                "download": delivery.reconcile,
                "erase": rights.reconcile,
            },
            parts.federations,
            follower,
            kept,
        ),
        release_key=lambda tenant: public_pem(parts.keys.release_key(tenant)),
        close=close,
    )


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public half of a signing key as PEM."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()


def install_control_plane(app: FastAPI, use_cases: UseCases) -> None:
    """Add the routes under `/v1` to `app`, and before all of its routes what guards them."""
    attach(app, use_cases)
    app.add_middleware(Authenticated, authenticator=use_cases.authenticator)
    app.add_middleware(BoundedBody, seconds=use_cases.body_timeout_seconds)  # the outer one
    for part in (
        administration,
        artifacts,
        audit,
        federations,
        jobs,
        models,
        policies,
        subjects,
        uploads,
    ):
        app.include_router(part.router)


def build_site_door(parts: Services, client: httpx.AsyncClient) -> FleetRelay | None:
    """Make the application of the site door; None when federation is off.

    Args:
        parts: The running gateway.
        client: For calls to SuperLinks; closed by whoever made it.
    """
    if parts.coordinator is None:
        return None
    door = SiteRouter(parts.federations, parts.guard, parts.coordinator)

    async def open_for(key: str) -> tuple[Site, str] | None:
        return await asyncio.to_thread(door.open_for, key)

    async def connected(site: Site, call: str) -> None:
        event = parts.recorder.event_for(
            None,
            "joinFederation",
            "done",
            category="federation",
            tenant=site.tenant,
            resource=f"Site::{site.tenant}/{site.name}",
            reason=call,
        )
        await asyncio.to_thread(parts.recorder.write, event)

    return FleetRelay(open_for, client, parts.clock, connected=connected, lost=door.forget)


def _follower(parts: Services, publisher: Publisher) -> RunFollower | None:
    if parts.coordinator is None:
        return None
    trained = TrainedModels(publisher, parts.sealer, parts.keys.release_key, parts.clock)
    return RunFollower(parts.federations, parts.coordinator, parts.recorder, trained)


def _administration(parts: Services) -> Administration:
    return Administration(
        parts.tenants,
        parts.clients,
        parts.revocation_state,
        parts.keys,
        parts.author,
        starter=starter_text(),
        guard=parts.guard,
        recorder=parts.recorder,
        changed=parts.changed,
        random_bytes=parts.random_bytes,
    )
