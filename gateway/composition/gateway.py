"""The composition root: every part is made here, once, and handed to those who need it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from audit.event import PLATFORM_TENANT
from gateway.authorization.recorder import Recorder
from gateway.batch.runner import BatchRunner
from gateway.composition.authorization import make_guard, make_recorder
from gateway.composition.batches import make_chunks, make_runner
from gateway.composition.federation import make_coordinator
from gateway.composition.first_steps import FirstSteps
from gateway.composition.foundation import Foundation
from gateway.composition.grpc_door import grpc_door
from gateway.composition.housekeeping import (
    SETTLE_SECONDS,
    SWEEP_SECONDS,
    TELL_SECONDS,
    Duty,
    Housekeeping,
    Refusals,
)
from gateway.composition.identity import Identity, make_identity
from gateway.composition.inference import (
    make_directory,
    make_engines,
    make_pipeline,
    make_warming,
)
from gateway.composition.public_door import VERSION, public_app
from gateway.composition.refused_sets import warn_of_refused
from gateway.composition.reloading import Reloading
from gateway.composition.restored import Restored
from gateway.composition.site_door import site_app
from gateway.composition.tracing import Tracing
from gateway.composition.trusted_names import warn_of_nobody
from gateway.composition.use_cases import UseCases, make_use_cases
from gateway.composition.watching import make_lines, watch_work
from gateway.engine.idling import LOOK_SECONDS
from gateway.engine.pool import Engines
from gateway.grpc.ended import CallsEnded
from gateway.inference.body_budget import BodyBudget
from gateway.inference.measuring import Measuring
from gateway.inference.pipeline import Pipeline
from gateway.inference.set_aside import SetAsideNotices
from gateway.inference.warming import Warming
from gateway.log_sink import LogSink
from gateway.process.doors import Door, ProtocolDoor
from gateway.process.handshakes import Certificate
from gateway.process.life import Life
from gateway.process.operations import OperationsApp
from gateway.process.readiness import Readiness
from gateway.settings import Settings
from gateway.telemetry import Metrics
from gateway.web.boundary import Boundary

# How long a model may stay decrypted in memory after it was retired or its tenant suspended.
DROP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A composed gateway: `start` it, serve its `doors`, `close` it.

    Attributes:
        use: The use cases, as the doors call them.
        pipeline: The way of an inference request.
        batch_runner: Runs batch jobs, on the event loop of the doors.
        life: Told what becomes of the process.
        reload: Takes settings over that changed; tells whether all is well.
        certificates: Is told what the doors show, by their names; metrics tell when that ends.
    """

    doors: list[Door | ProtocolDoor]
    use: UseCases
    pipeline: Pipeline
    batch_runner: BatchRunner
    life: Life
    reload: Callable[[], bool]
    certificates: dict[str, Certificate]
    start: Callable[[], None]
    close: Callable[[], None]


def compose(
    base: Foundation, read: Callable[[], Settings] | None = None, sink: LogSink | None = None
) -> Gateway:
    """Compose a gateway on its foundation.

    Args:
        base: Keys, stores and settings.
        read: Reads the settings again; by default they stay as they are.
        sink: Where the log goes; by default standard error.

    Raises:
        ConfigurationError: A setting asks for what cannot be had.
        PolicyError: A stored policy set was tampered with.
    """
    base.author.restore()
    warn_of_refused(base.author)
    recorder = make_recorder(base)
    guard = make_guard(base, recorder)
    identity = make_identity(base)
    coordinator = make_coordinator(base.settings, base.environment)
    client = coordinator.client if coordinator is not None else None
    metrics = Metrics()
    tracing = Tracing(base.settings, base.environment.clock)
    sink = sink or LogSink()
    lines = make_lines(base.settings, base.environment, sink)
    notices = SetAsideNotices(recorder)
    engines = make_engines(base, notices)
    pipeline = make_pipeline(base, identity.authenticator, guard, recorder, engines, metrics)
    warming = make_warming(base, pipeline.models, engines)
    measuring = Measuring(engines, base.environment.monotonic)
    use = make_use_cases(
        base,
        guard,
        recorder,
        client,
        identity,
        warming.promoted,
        measuring,
    )
    chunks = make_chunks(base, use.batch.ledger, recorder, pipeline)
    runner = make_runner(base, use.batch, recorder, pipeline, chunks.answer)
    certificates: dict[str, Certificate] = {}
    counts = watch_work(metrics, base, use, sink, lines, certificates, identity)
    housekeeping = _housekeeping(base, identity, recorder, use, pipeline, warming, engines, counts)

    restored = Restored(
        base.settings.data_dir,
        recorder,
        use.subjects.erase_again,
        use.key_orders.replace_again,
        (use.people.sign_out_everybody, base.stores.approvals.clear_approvals),
    )
    life = Life()

    def ready() -> bool:
        return base.log.ready and warming.done and not life.stopping

    directory = make_directory(base, pipeline)
    budget = BodyBudget()
    app = public_app(
        base,
        identity,
        recorder,
        use,
        pipeline,
        directory,
        budget,
        ready,
        tracing.traces,
        metrics,
        lines,
    )
    doors = _doors(
        base.settings,
        app,
        site_app(base, guard, recorder, client, use.watching, metrics, lines)
        if client is not None
        else None,
        Boundary(
            OperationsApp(
                metrics,
                base.log,
                base.engine,
                identity.authenticator,
                engines=engines,
                warming=warming,
                life=life,
                readiness=Readiness(_looks(base)),
                version=VERSION,
                steps=FirstSteps(base),
                refused_sets=lambda: tuple(base.author.refused),
                public_url=base.settings.public_url,
                host=base.settings.operations_host,
            ),
            recorder.new_id,
        ),
        grpc_door(
            base,
            pipeline,
            directory,
            ready,
            budget,
            tracing.traces,
            CallsEnded(metrics.count_call, lines),
        ),
    )

    def start() -> None:
        base.log.start()
        restored.record()
        engines.start()
        use.recovery.run()
        restored.finish()
        warn_of_nobody(base)
        lines.start()
        housekeeping.start()  # empties the staging area: before anything can publish
        if coordinator is not None:
            coordinator.process.start()
        use.recovery.follow_runs()
        warming.start()
        tracing.start()

    def close() -> None:
        warming.close()
        housekeeping.close()
        use.close()
        if coordinator is not None:
            coordinator.close()
        pipeline.executor.close()
        pipeline.models.close()
        engines.close()
        notices.close()
        tracing.close()
        lines.close()

    return Gateway(
        doors=doors,
        use=use,
        pipeline=pipeline,
        batch_runner=runner,
        life=life,
        reload=Reloading(
            base.settings,
            read or (lambda: base.settings),
            doors,
            identity,
            engines.limit,
            sink,
            lines,
        ),
        certificates=certificates,
        start=start,
        close=close,
    )


def _looks(base: Foundation) -> dict[str, Callable[[], object]]:
    """Return what looks at each store, by its name for the operator."""
    return {
        "database": lambda: base.stores.tenants.get(PLATFORM_TENANT),
        "keystore": lambda: base.keys.mac_key(PLATFORM_TENANT),
        "artifact store": base.artifacts.check,
    }


def _housekeeping(
    base: Foundation,
    identity: Identity,
    recorder: Recorder,
    use: UseCases,
    pipeline: Pipeline,
    warming: Warming,
    engines: Engines,
    counts: Duty,
) -> Housekeeping:
    def refusals() -> Counter[str]:
        return identity.refusals() + use.people.signing_in.refusals

    tell = Duty("refusals", Refusals(refusals, recorder).record, TELL_SECONDS)
    duties = [
        tell,
        counts,
        Duty("uploads", use.uploads.sweep, SWEEP_SECONDS),
        Duty("batches", use.batch.ledger.sweep, SWEEP_SECONDS),
        Duty("people", use.people.sweep, SWEEP_SECONDS),
        Duty("keys", use.key_retirement.sweep, SWEEP_SECONDS),
        Duty("changes", use.intents.settle_left, SETTLE_SECONDS),
        Duty("models", lambda: pipeline.sweep(base.environment.clock()), DROP_SECONDS),
        Duty("warming", warming.round, DROP_SECONDS),
        Duty("idle_engines", engines.end_burning, LOOK_SECONDS),
    ]
    return Housekeeping(
        base.artifacts.clean, duties, tell.act, monotonic=base.environment.monotonic
    )


def _doors(
    settings: Settings,
    public: ASGIApp,
    sites: ASGIApp | None,
    operations: ASGIApp,
    grpc: ProtocolDoor | None,
) -> list[Door | ProtocolDoor]:
    doors: list[Door | ProtocolDoor] = [
        Door(
            "public",
            public,
            settings.host,
            settings.port,
            settings.tls_certificate,
            settings.tls_key,
            client_ca=settings.tls_client_ca,
        ),
        Door(
            "operations",
            operations,
            settings.operations_host,
            settings.operations_port,
            setting="operations_port",
        ),
    ]
    if grpc is not None:
        doors.append(grpc)
    if sites is not None:
        doors.append(
            Door(
                "sites",
                sites,
                settings.sites_host,
                settings.sites_port,
                settings.sites_certificate,
                settings.sites_key,
                "sites_port",
            )
        )
    return doors
