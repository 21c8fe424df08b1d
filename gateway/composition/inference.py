"""The pipeline of inference requests and the parts that it needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from gateway.artifacts.own_release_keys import verify_release
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Recorder
from gateway.composition.foundation import Foundation
from gateway.engine.pool import Engines, Room, bounded
from gateway.engine.ports import EngineKind
from gateway.engine.process import Bounds
from gateway.engine.starting import Recipe
from gateway.identity.authenticate import Authenticator
from gateway.identity.records import Tenant
from gateway.inference.directory import ModelDirectory
from gateway.inference.fair_executor import FairExecutor
from gateway.inference.guests import Guests
from gateway.inference.loading import ModelLoader
from gateway.inference.models import Models
from gateway.inference.pipeline import Pipeline
from gateway.inference.record import RecordWriter
from gateway.inference.routing import Routes
from gateway.inference.signed_manifest import SignedManifests
from gateway.inference.statistics import Statistics
from gateway.inference.warming import Warming
from gateway.pages import every
from gateway.settings import Settings
from gateway.telemetry import Metrics
from gateway.tenancy.limits import Throttle

# Engines at most: each costs some 25 MB beside its model, and a process.
MAX_ENGINES: Final = 256
_CONTAINER_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def engine_kinds(settings: Settings) -> list[EngineKind]:
    """Return the kinds of engines that the settings name, the plain one first."""
    others = settings.engines.items()
    return [EngineKind(), *(EngineKind(name, each.python, each.providers) for name, each in others)]


def make_routes(base: Foundation, guard: Guard) -> Routes:
    """Make what resolves names; each has a memory of its own."""
    epoch = base.revocation_state
    return Routes(base.stores.registry, guard, lambda: epoch.epoch, base.environment.clock)


def make_engines(base: Foundation, set_aside: Callable[[Recipe, str], None]) -> Engines:
    """Make the engines' pool; the caller starts and closes it.

    Args:
        base: Their bounds, and what starts them.
        set_aside: Told of a model that ends its engines again and again.
    """
    settings = base.settings
    servers = {kind.name: base.environment.engines(kind) for kind in engine_kinds(settings)}
    return Engines(servers, room_of(settings), set_aside)


def room_of(settings: Settings) -> Room:
    """Return what the settings let all engines together take."""
    each = bounded(
        Bounds(), memory_bytes=settings.run_memory_bytes, body_bytes=settings.max_body_bytes
    )
    memory = settings.engines_memory_bytes or physical_memory() // 2
    return Room(MAX_ENGINES, memory, each, settings.run_timeout_seconds)


def make_warming(base: Foundation, models: Models, engines: Engines) -> Warming:
    """Make what has released versions ready before they are called."""

    def tenants() -> Iterator[str]:
        def page(after: str, limit: int) -> Sequence[Tenant]:
            return base.stores.tenants.list(after or None, limit)

        for tenant in every(page, lambda tenant: tenant.id, ""):
            if not tenant.suspended:
                yield tenant.id

    return Warming(models, base.stores.registry, tenants, engines.has_room)


def physical_memory() -> int:
    """Bytes of memory of this machine, or of the container where that has less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no control group, or `max`
        return installed


def make_directory(base: Foundation, pipeline: Pipeline) -> ModelDirectory:
    """Make what answers about models, for every door."""
    manifests = SignedManifests(
        partial(verify_release, base.keys),
        lambda: base.revocation_state.epoch,
        base.environment.clock,
    )
    return ModelDirectory(
        pipeline.authenticator,
        pipeline.guard,
        pipeline.routes,
        pipeline.models,
        base.stores.registry,
        manifests,
        pipeline.statistics,
        pipeline.metrics.count_refused,
    )


def make_pipeline(
    base: Foundation,
    authenticator: Authenticator,
    guard: Guard,
    recorder: Recorder,
    engines: Engines,
    metrics: Metrics,
) -> Pipeline:
    """Make the pipeline; whoever made `engines` starts and closes them."""
    environment = base.environment
    loader = ModelLoader(
        base.sealer.open_payload,
        partial(verify_release, base.keys),
        engines.serve,
        kinds=engines.kinds.keys(),
        clock=environment.clock,
    )
    executor = FairExecutor()
    return Pipeline(
        authenticator=authenticator,
        over_rate=Throttle(base.settings.rate_limit, environment.clock).spend,
        routes=make_routes(base, guard),
        guard=guard,
        models=Models(loader),
        executor=executor,
        records=RecordWriter(
            recorder,
            base.vault,
            monotonic=environment.monotonic,
            random_bytes=environment.random_bytes,
        ),
        log=base.log,
        metrics=metrics,
        statistics=Statistics(environment.clock),
        guests=Guests(),
    )
