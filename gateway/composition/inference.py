"""The pipeline of inference requests and the parts that it needs."""

from __future__ import annotations

from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Recorder
from gateway.composition.foundation import Foundation
from gateway.identity.authenticate import Authenticator
from gateway.inference.fair_executor import FairExecutor
from gateway.inference.loading import ModelLoader
from gateway.inference.pipeline import Pipeline
from gateway.inference.record import RecordWriter
from gateway.inference.routing import Routes
from gateway.inference.sessions import Sessions, Watchdog
from gateway.telemetry import Metrics
from gateway.tenancy.limits import Throttle

# Decrypted models kept in memory; the least recently used one leaves first.
MAX_MODEL_BYTES: Final = 4 << 30


def make_pipeline(
    base: Foundation,
    authenticator: Authenticator,
    guard: Guard,
    recorder: Recorder,
    watchdog: Watchdog,
    metrics: Metrics,
) -> Pipeline:
    """Make the pipeline; whoever made `watchdog` starts and closes it."""
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
        authenticator=authenticator,
        within_rate=Throttle(base.settings.rate_limit, environment.clock).spend,
        routes=Routes(base.stores.registry, guard, lambda: base.revocation_state.epoch),
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
