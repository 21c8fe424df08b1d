"""What operators watch: metrics beside those that are counted on the way, and lines of requests."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.composition.environment import Environment
from gateway.composition.foundation import Foundation
from gateway.composition.housekeeping import Duty
from gateway.composition.identity import Identity
from gateway.composition.public_door import VERSION
from gateway.composition.use_cases import UseCases
from gateway.log_sink import LogSink
from gateway.process.handshakes import Certificate
from gateway.process.issuer_metrics import IssuerMetrics
from gateway.process.resources import Resources, watch
from gateway.process.work_metrics import LOOK_SECONDS, Stored, WorkMetrics
from gateway.request_lines import RequestLines
from gateway.settings import Settings
from gateway.telemetry import Metrics


def make_lines(settings: Settings, environment: Environment, sink: LogSink) -> RequestLines:
    """Make what writes lines of requests; none before it is started."""
    lines = RequestLines(sink.write, clock=environment.clock, monotonic=environment.monotonic)
    lines.set(settings.log_level, settings.log_requests)
    return lines


def watch_work(
    metrics: Metrics,
    base: Foundation,
    use: UseCases,
    sink: LogSink,
    lines: RequestLines,
    certificates: Mapping[str, Certificate],
    identity: Identity,
) -> Duty:
    """Add the metrics of the process, of work, of federations, of issuers and of the log.

    Returns:
        The duty that looks at what is stored.
    """
    environment, settings = base.environment, base.settings
    stored = Stored(
        base.stores.batches, base.stores.federations, environment.clock, environment.monotonic
    )
    watch(metrics.registry, Resources(VERSION, {"data": settings.data_dir}, certificates))
    metrics.registry.register(
        WorkMetrics(use.jobs, lambda: use.batch.ledger.ended, stored, use.watching, sink, lines)
    )
    metrics.registry.register(IssuerMetrics(identity.issuers, identity.authenticator.foreign))
    return Duty("counts", stored.look, LOOK_SECONDS)
