"""Where spans go: to a collector over OTLP/HTTP, when a setting says so and the extra is there.

The collector is called by a thread of its own, over a connection that follows no redirect and no
proxy of the environment. What it does not take in time is dropped: a trace is no evidence, and no
request waits for one.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final

from opentelemetry.trace import Tracer

from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.traces import Traces

NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
MAX_QUEUE: Final = 4_096
"""Spans that wait, of some 400 requests: some megabytes."""
BATCH: Final = 512
EVERY_MILLISECONDS: Final = 2_000.0
TIMEOUT_SECONDS: Final = 1.0
"""Of one export, attempts included: what a collector that is gone holds up the process's end by."""


class Tracing:
    """The traces of a process, and the thread that exports their spans.

    Args:
        settings: Whether, where to and how many.
        clock: Unix seconds.

    Attributes:
        traces: Begins them; none before `start` and after `close`.

    Raises:
        ConfigurationError: Spans are to be exported, and the extra is not installed.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        if settings.traces_endpoint is not None and not all(map(_installed, NEEDED)):
            raise ConfigurationError(
                "`traces_endpoint` needs the `otel` extra", "pip install 'sealgate[otel]'"
            )
        self.traces = Traces(settings.traces_ratio, lambda: int(clock() * 1_000_000_000))
        self._settings = settings
        self._shut_down: Callable[[], None] | None = None

    def start(self) -> None:
        """Let spans go to the collector of the settings, if there is one."""
        endpoint, authority = self._settings.traces_endpoint, self._settings.traces_ca
        if endpoint is not None:
            tracer, self._shut_down = _exporting(endpoint, str(authority) if authority else None)
            self.traces.send_to(tracer)

    def close(self) -> None:
        """Send the rest, and end the thread."""
        self.traces.send_to(None)
        if self._shut_down is not None:
            self._shut_down()


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def _exporting(endpoint: str, authority: str | None) -> tuple[Tracer, Callable[[], None]]:
    """Return what takes spans, and what sends the rest and ends its thread."""
    # Of an extra, and slow to import: only where they are wanted.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    from requests import Session

    session = Session()
    session.trust_env = False
    meters = NoOpMeterProvider()
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # `Traces` has decided
        resource=Resource({"service.name": "sealgate", "service.version": version("sealgate")}),
        shutdown_on_exit=False,
        meter_provider=meters,
    )
    exporter = OTLPSpanExporter(
        endpoint,
        certificate_file=authority,
        timeout=TIMEOUT_SECONDS,
        session=session,
        meter_provider=meters,
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter, MAX_QUEUE, EVERY_MILLISECONDS, BATCH, meter_provider=meters)
    )
    return provider.get_tracer("sealgate"), provider.shutdown
