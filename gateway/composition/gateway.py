"""The composition root: every part is made here, once, and handed to those who need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from audit.errors import AuditError
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Recorder
from gateway.authorization.token_evidence import TokenEvidence
from gateway.composition.federation import Federation, assemble_federation
from gateway.composition.foundation import Foundation
from gateway.composition.housekeeping import (
    SWEEP_SECONDS,
    TELL_SECONDS,
    Duty,
    Housekeeping,
    Refusals,
)
from gateway.composition.identity import Identity, assemble_identity
from gateway.composition.solo import solo_since
from gateway.composition.use_cases import build_site_door, compose, install_control_plane
from gateway.errors import SealgateError
from gateway.identity.metadata import resource_metadata
from gateway.inference.fair_executor import FairExecutor
from gateway.inference.loading import ModelLoader
from gateway.inference.pipeline import Pipeline
from gateway.inference.record import RecordWriter
from gateway.inference.routing import Routes
from gateway.inference.sessions import Sessions, Watchdog
from gateway.process.doors import Door
from gateway.process.operations import OperationsApp
from gateway.registry.uploads import Uploads
from gateway.settings import Settings
from gateway.telemetry import Metrics
from gateway.tenancy.limits import Throttle
from gateway.tenancy.solo import SoloMode
from gateway.web import api_page, oauth, oip
from gateway.web.dependencies import Services, UseCases
from gateway.web.infer import InferEndpoint, infer_target
from gateway.web.problems import Boundary, install_problems, problem_of
from policies.errors import PolicyError

# Decrypted models kept in memory; the least recently used one leaves first.
MAX_MODEL_BYTES: Final = 4 << 30
# A held pull of a site is answered after 20 s at the latest.
FLEET_TIMEOUT: Final = 60.0
# How long a model that was retired, or whose tenant fell, may stay decrypted in memory.
DROP_SECONDS: Final = 60.0
VERSION: Final = version("sealgate")


class PublicApp:
    """The public door: inference goes straight to its endpoint, the rest to the framework.

    Args:
        infer: The hot path.
        control: Everything else.
    """

    def __init__(self, infer: InferEndpoint, control: ASGIApp) -> None:
        self._infer = infer
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one connection event."""
        if scope["type"] == "http" and scope["method"] == "POST":
            target = infer_target(scope["path"])
            if target is not None:
                await self._infer(scope, receive, send, target)
                return
        await self._control(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A composed gateway: `start` it, serve its `doors`, `close` it."""

    doors: list[Door]
    start: Callable[[], None]
    close: Callable[[], None]


def create_app(base: Foundation) -> Gateway:
    """Compose a gateway on its foundation.

    Raises:
        ConfigurationError: A setting asks for what cannot be had.
        PolicyError: A stored policy set was tampered with.
    """
    base.author.restore()
    recorder = _recorder(base)
    guard = _guard(base, recorder)
    identity = assemble_identity(base)
    federation = assemble_federation(base.settings, base.environment)
    services = _services(base, identity, guard, recorder, federation)
    use_cases = compose(services)
    metrics = Metrics()
    watchdog = Watchdog(base.settings.run_timeout_seconds)
    pipeline = _pipeline(base, identity, guard, recorder, watchdog, metrics)
    public = _public_app(base, use_cases, identity, recorder, pipeline)
    sites = build_site_door(services, httpx.AsyncClient(timeout=FLEET_TIMEOUT))
    operations = OperationsApp(metrics, base.log, base.engine, identity.authenticator)
    housekeeping = _housekeeping(base, identity, recorder, use_cases.uploads, pipeline)

    def start() -> None:
        base.log.start()
        watchdog.start()
        use_cases.reconciliation.run()
        housekeeping.start()  # empties the staging area: before anything can publish
        if federation is not None:
            federation.companion.start()
        use_cases.reconciliation.follow_runs()

    def close() -> None:
        housekeeping.close()
        use_cases.close()
        if federation is not None:
            federation.close()
        pipeline.executor.close()
        watchdog.close()

    return Gateway(_doors(base.settings, public, sites, operations), start, close)


def _recorder(base: Foundation) -> Recorder:
    return Recorder(
        base.log,
        clock=base.environment.clock,
        random_bytes=base.environment.random_bytes,
        gateway_id=base.settings.audit_origin,
        boot_id=base.environment.random_bytes(8).hex(),
        region=base.settings.region,
    )


def _guard(base: Foundation, recorder: Recorder) -> Guard:
    def epoch() -> int:
        return base.revocation_state.epoch

    return Guard(
        base.engine,
        base.tenants,
        base.federations,
        recorder,
        confirm=base.revocation_state.confirm,
        region=base.settings.region,
        epoch=epoch,
        solo=SoloMode(base.clients, solo_since(base), base.environment.clock, epoch),
    )


def _housekeeping(
    base: Foundation,
    identity: Identity,
    recorder: Recorder,
    uploads: Uploads,
    pipeline: Pipeline,
) -> Housekeeping:
    tell = Duty("refusals", Refusals(identity.refusals, recorder).record, TELL_SECONDS)
    sweep = Duty("uploads", uploads.sweep, SWEEP_SECONDS)
    drop = Duty("models", lambda: pipeline.sweep(base.environment.clock()), DROP_SECONDS)
    return Housekeeping(
        base.artifacts.clean, [tell, sweep, drop], tell.act, monotonic=base.environment.monotonic
    )


def _services(
    base: Foundation,
    identity: Identity,
    guard: Guard,
    recorder: Recorder,
    federation: Federation | None,
) -> Services:
    return Services(
        settings=base.settings,
        clock=base.environment.clock,
        random_bytes=base.environment.random_bytes,
        authenticator=identity.authenticator,
        revocation_state=base.revocation_state,
        tenants=base.tenants,
        clients=base.clients,
        revocations=base.revocations,
        registry=base.registry,
        uploads=base.uploads,
        federations=base.federations,
        pending=base.pending,
        engine=base.engine,
        author=base.author,
        log=base.log,
        reader=base.reader,
        vault=base.vault,
        keys=base.keys,
        sealer=base.sealer,
        artifacts=base.artifacts,
        coordinator=federation.client if federation else None,
        guard=guard,
        recorder=recorder,
    )


def _pipeline(
    base: Foundation,
    identity: Identity,
    guard: Guard,
    recorder: Recorder,
    watchdog: Watchdog,
    metrics: Metrics,
) -> Pipeline:
    environment = base.environment
    loader = ModelLoader(
        base.sealer.open_payload,
        lambda tenant: base.keys.release_key(tenant).public_key(),
        watchdog,
        clock=environment.clock,
        monotonic=environment.monotonic,
    )
    executor = FairExecutor()
    return Pipeline(
        authenticator=identity.authenticator,
        throttle=Throttle(base.settings.rate_limit),
        routes=Routes(base.registry, guard, lambda: base.revocation_state.epoch),
        guard=guard,
        sessions=Sessions(loader, watchdog, executor, MAX_MODEL_BYTES),
        executor=executor,
        records=RecordWriter(
            recorder,
            base.vault,
            monotonic=environment.monotonic,
            random_bytes=environment.random_bytes,
        ),
        log=base.log,
        metrics=metrics,
    )


def _public_app(
    base: Foundation,
    use_cases: UseCases,
    identity: Identity,
    recorder: Recorder,
    pipeline: Pipeline,
) -> ASGIApp:
    app = FastAPI(title="sealgate", version=VERSION, docs_url=None, redoc_url=None)
    app.include_router(api_page.router)
    install_problems(app, SealgateError, AuditError, PolicyError)
    resource = resource_metadata(identity.server.issuer, identity.issuers.names)
    app.include_router(oauth.build_router(identity.server, resource, TokenEvidence(recorder)))
    directory = oip.ModelDirectory(
        identity.authenticator, pipeline.guard, pipeline.routes, pipeline.sessions, base.registry
    )
    app.include_router(oip.build_router(directory, VERSION, lambda: base.log.ready))
    install_control_plane(app, use_cases)
    endpoint = InferEndpoint(
        pipeline,
        problem_of,
        max_body_bytes=base.settings.max_body_bytes,
        body_timeout=base.settings.body_timeout_seconds,
    )
    return Boundary(PublicApp(endpoint, app))


def _doors(
    settings: Settings, public: ASGIApp, sites: ASGIApp | None, operations: ASGIApp
) -> list[Door]:
    doors = [
        Door(
            "public",
            public,
            settings.host,
            settings.port,
            settings.tls_certificate,
            settings.tls_key,
        ),
        Door("operations", operations, settings.operations_host, settings.operations_port),
    ]
    if sites is not None:
        doors.append(
            Door(
                "sites",
                Boundary(sites),
                settings.sites_host,
                settings.sites_port,
                settings.sites_certificate,
                settings.sites_key,
            )
        )
    return doors
