"""Logs, metrics and health for operators: never a payload, a secret or a personal datum.

Audit is not logging and has its own path (`audit.log`). What is written here may be lost.
"""

from __future__ import annotations

import logging
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Protocol, TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MAX_VERSIONS: Final = 1_000
"""Versions of models with series of their own: each has some 22 lines in `/metrics`, so that a
scrape stays below 30,000 of them, some 0.3 s of processor time, however many versions a process
has served. One that nobody asks for makes way; asked for again it counts from 0, as after a
restart, which Prometheus takes into account."""
TOKEN_REASONS: Final = frozenset(
    {
        "ok",
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "invalid_dpop_proof",
        "use_dpop_nonce",
        "temporarily_unavailable",
    }
)
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)


class Lines(Protocol):
    """Takes whole lines, as `gateway.log_sink.LogSink` and open files do."""

    def write(self, text: str, /) -> object:
        """Write."""

    def flush(self) -> object:
        """Leave nothing behind."""


def configure_logs(level: str, stream: Lines | None = None) -> None:
    """Send structured logs as one JSON object a line to `stream` (standard error by default).

    Args:
        level: `debug`, `info`, `warning` or `error`.
        stream: Where to write.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        # One write a line: those of threads and of requests do not mix.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", stream or sys.stderr)),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


class _FromLibraries(logging.Handler):
    """Gives what libraries log our own shape, and drops what could hold a caller's data.

    That is the arguments of a message and the text of an exception: what is left is the message
    as the library's authors wrote it, and the kind of the fault.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        fault = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library_message",
            library=record.name,
            message=str(record.msg),
            fault=fault.__name__ if fault else None,
        )


class Metrics:
    """The gateway's Prometheus metrics in a registry of their own.

    Labels are tenants, models, versions and stable codes: nothing that a caller can invent.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers: dict[tuple[str, str, str, str, str], _Series] = {}
        self._versions: OrderedDict[tuple[str, str, str], _Version] = OrderedDict()
        self._calls: dict[tuple[str, str], Counter] = {}
        model = ("tenant", "model", "version")
        self.requests = Counter(
            "sealgate_requests",
            "Inference requests by outcome",
            (*model, "outcome"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "sealgate_request_seconds",
            "Time from the token to the durable record",
            model,
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.refused = Counter(
            "sealgate_refused_before_tenant",
            "Requests refused before a tenant was known",
            ("code",),
            registry=self.registry,
        )
        self.limited = Counter(
            "sealgate_rate_limited",
            "Requests over the rate of their client",
            ("tenant",),
            registry=self.registry,
        )
        self.verdicts = Counter(
            "sealgate_screen_verdicts",
            "Verdicts of the screen",
            (*model, "verdict"),
            registry=self.registry,
        )
        self.memo = Gauge(
            "sealgate_memo_hit_ratio",
            "Share of answers taken from a memo",
            ("memo",),
            registry=self.registry,
        )
        self.engines = Gauge(
            "sealgate_engines", "Processes that run models", registry=self.registry
        )
        self.engine_bytes = Gauge(
            "sealgate_engine_resident_bytes", "Memory that they hold", registry=self.registry
        )
        self.waiting = Gauge(
            "sealgate_engine_waiting", "Requests that wait for an engine", registry=self.registry
        )
        self.unavailable = Gauge(
            "sealgate_models_unavailable",
            "Released versions that cannot be served; /health/models names them",
            registry=self.registry,
        )
        self.resting = Gauge(
            "sealgate_models_resting",
            "Versions that ended their engines again and again and are left alone",
            registry=self.registry,
        )
        self.audit_waiting = Gauge(
            "sealgate_audit_waiting", "Records that wait to be written", registry=self.registry
        )
        self.audit_refused = Gauge(
            "sealgate_audit_refused",
            "Records that could not be written since the start",
            registry=self.registry,
        )
        self.http = Counter(
            "sealgate_http_requests",
            "Requests to routes other than inference",
            ("door", "route", "status"),
            registry=self.registry,
        )
        self.audit_ready = Gauge(
            "sealgate_audit_ready", "1 when the audit log takes records", registry=self.registry
        )
        self.calls = Counter(
            "sealgate_grpc_calls",
            "Calls of the gRPC door",
            ("method", "status"),
            registry=self.registry,
        )
        self.tokens = Counter(
            "sealgate_tokens",
            "Requests to the token and revocation endpoints",
            ("outcome", "reason"),
            registry=self.registry,
        )

    def count_request(self, door: str, route: str, status: int) -> None:
        """Count a request that is not one of inference, which `count_answer` does.

        Args:
            door: Where it came in.
            route: Template of its path; empty where no route has it.
            status: 0 where its caller was gone.
        """
        self.http.labels(door, route or "none", str(status)).inc()

    def count_refused(self, code: str) -> None:
        """Count a request that was refused before a tenant was known, at whatever door."""
        self.refused.labels(code).inc()

    def count_call(self, method: str, status: str) -> None:
        """Count a call of gRPC, inference or not.

        Args:
            method: `service/method` of ours; empty for what is none.
            status: By name.
        """
        key = method, status
        found = self._calls.get(key)
        if found is None:
            found = self._calls[key] = self.calls.labels(method or "none", status)
        found.inc()

    def count_token(self, outcome: str, reason: str) -> None:
        """Count a request of a client for a token, or to revoke one.

        Args:
            outcome: `issued`, `revoked`, `introspected` or `refused`.
            reason: `ok`, or the OAuth error code; one that is not known counts as `other`.
        """
        self.tokens.labels(outcome, reason if reason in TOKEN_REASONS else "other").inc()

    def count_answer(
        self, version: tuple[str, str, str], outcome: str, verdict: str, seconds: float
    ) -> None:
        """Count one inference request.

        Args:
            version: Tenant, model and version.
            outcome: `answered`, or the code of the refusal.
            verdict: The screen's, or `none` when it was not reached.
            seconds: How long it took.
        """
        key = (*version, outcome, verdict)
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = self._series(version, outcome, verdict)
        else:
            found.of.used = True
        found.requests.inc()
        found.latency.observe(seconds)
        found.verdicts.inc()

    def _series(self, version: tuple[str, str, str], outcome: str, verdict: str) -> _Series:
        if version not in self._versions:
            self._make_room()
            self._versions[version] = _Version()
        of = self._versions[version]
        of.outcomes.add(outcome)
        of.verdicts.add(verdict)
        return _Series(
            of,
            self.requests.labels(*version, outcome),
            self.latency.labels(*version),
            self.verdicts.labels(*version, verdict),
        )

    def _make_room(self) -> None:
        """Forget the version that was not asked for since it was last looked at here."""
        while len(self._versions) >= MAX_VERSIONS:
            version, of = next(iter(self._versions.items()))
            if of.used:
                of.used = False
                self._versions.move_to_end(version)
                continue
            del self._versions[version]
            self.latency.remove(*version)
            for outcome in of.outcomes:
                self.requests.remove(*version, outcome)
            for verdict in of.verdicts:
                self.verdicts.remove(*version, verdict)
            for pair in product(of.outcomes, of.verdicts):
                self._answers.pop((*version, *pair), None)


@dataclass(slots=True)
class _Version:
    """What a version has series for, and whether it was asked again since that was looked at."""

    outcomes: set[str] = field(default_factory=set)
    verdicts: set[str] = field(default_factory=set)
    used: bool = False


@dataclass(frozen=True, slots=True)
class _Series:
    """Looking a labelled metric up costs more than counting with it."""

    of: _Version
    requests: Counter
    latency: Histogram
    verdicts: Counter
