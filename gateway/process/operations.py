"""The operators' door, on an address of its own: `/`, `/metrics` and `/health/…`.

The page is for whoever reaches the address, and for no page of somebody else's: a browser that was
led here by a name (DNS rebinding) is told so and shown nothing. Scrapers and probes may use names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Receive, Scope, Send

from audit.log import AuditLog
from gateway.engine.pool import Engines
from gateway.identity.authenticate import Authenticator
from gateway.inference.warming import Warming
from gateway.process.aside import Aside
from gateway.process.life import Life
from gateway.process.readiness import KEPT_SECONDS, LOOK_SECONDS, Readiness
from gateway.start_page import CONTENT_TYPE, HEADERS, Link, Part, Step, operators_page
from gateway.telemetry import Metrics
from policies.engine import PolicyEngine

_TEXT = "text/plain; charset=utf-8"
_PAGE: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
LINKS: Final = (
    Link("/health/ready", "whether requests are taken, and what is not well"),
    Link("/health/models", "released versions that cannot be served"),
    Link("/health/policies", "tenants whose policy set cannot be used"),
    Link("/metrics", "for Prometheus"),
)
PUBLIC: Final[Mapping[str, str]] = {
    "/docs": "the addresses of this gateway, for people",
    "/openapi.json": "the same for programs (OpenAPI)",
}
TELL_SECONDS: Final = 9.0
"""For all metrics: Prometheus gives up after 10 s."""
UNWELL: Final = 503
MISDIRECTED: Final = 421
"""RFC 9110, section 15.5.20."""
_BY_NAME: Final = (
    b"no page by this name: open it by the address it has, such as 127.0.0.1, or as localhost\n"
)
_HOST: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]@/]+))(?::[0-9]*)?")
"""RFC 9110, section 7.2, without what no browser sends."""


class OperationsApp:
    """ASGI application for scrapers and orchestrators.

    Args:
        metrics: What is counted.
        log: The gateway is ready only while it takes records.
        engine, authenticator: Their memos' hit ratios are shown.
        engines: What runs models.
        warming: What has made the released models ready, and which it could not.
        life: Tells whether the process was asked to stop.
        readiness: Looks at the stores.
        version: Of the gateway.
        steps: Tells what an operator does once, and whether it is done; may block.
        public_url: The address that callers use.
        refused_sets: Returns the tenants whose stored policy set cannot be used.
        host: Where this door is; a name of it is a name for its page, too.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: AuditLog,
        engine: PolicyEngine,
        authenticator: Authenticator,
        *,
        engines: Engines,
        warming: Warming,
        life: Life,
        readiness: Readiness,
        version: str,
        steps: Callable[[], Sequence[Step]],
        refused_sets: Callable[[], Sequence[str]],
        public_url: str,
        host: str,
    ) -> None:
        self._host = host.lower()
        self._version = version
        self._steps = Aside(steps, "first-steps")
        self._all = Aside(self._told, "metrics")
        self._refused_sets = refused_sets
        there = public_url.rstrip("/")
        self._links = (*LINKS, *(Link(there + path, what) for path, what in PUBLIC.items()))
        self._readiness = readiness
        self._life = life
        self._engines = engines
        self._warming = warming
        self._metrics = metrics
        self._log = log
        self._engine = engine
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request; only GET and HEAD are answered, and nothing else spoken."""
        if scope["type"] != "http":
            return
        method = scope["method"]
        status, kind, body = await self._answer(method, scope["path"], scope)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if kind == CONTENT_TYPE:
            headers += _PAGE
        if status == UNWELL:
            headers.append((b"retry-after", b"%d" % KEPT_SECONDS))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    async def _answer(self, method: str, path: str, scope: Scope) -> tuple[int, str, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, _TEXT, b"GET only\n"
        if path == "/":
            if not self._is_named_well(scope):
                return MISDIRECTED, _TEXT, _BY_NAME
            return 200, CONTENT_TYPE, await self._start()
        if path == "/metrics":
            return await self._metrics_told()
        if path == "/health/live":
            return 200, _TEXT, b"live\n"
        if path == "/health/ready":
            return await self._ready()
        if path == "/health/models":
            return self._models()
        if path == "/health/policies":
            return self._policies()
        return 404, _TEXT, _ELSEWHERE

    def _is_named_well(self, scope: Scope) -> bool:
        """Whether the `Host` is an address, which nobody can have a browser take for a name."""
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if found is None:
            return False
        name = (found["six"] or found["name"]).lower()
        return name in {"localhost", self._host} or _is_address(name)

    async def _ready(self) -> tuple[int, str, bytes]:
        if self._life.stopping:
            return 503, _TEXT, b"stopping\n"
        if not self._log.ready:
            return 503, _TEXT, b"the audit log is down\n"
        if failing := await self._readiness.failing():
            return 503, _TEXT, f"not well: {', '.join(failing)}\n".encode()
        if not self._warming.done:
            return 503, _TEXT, b"models are being loaded\n"
        return 200, _TEXT, b"ready\n"

    async def _metrics_told(self) -> tuple[int, str, bytes]:
        """Tell all of them: thousands of lines where there are many models."""
        try:
            return 200, CONTENT_TYPE_LATEST, await self._all.within(TELL_SECONDS)
        except TimeoutError:
            return UNWELL, _TEXT, b"the metrics could not be gathered in time\n"

    async def _start(self) -> bytes:
        """Show what runs here, whether it is well and what is left to do."""
        failing = await self._readiness.failing()
        parts = [
            Part("the audit log", self._log.ready, "takes records" if self._log.ready else "down"),
            *(
                Part(
                    f"the {name}",
                    name not in failing,
                    "does not answer" if name in failing else "answers",
                )
                for name in self._readiness.names
            ),
            _of_models(self._warming),
            _of_policies(self._refused_sets()),
        ]
        if self._life.stopping:
            parts.append(Part("this process", False, "stops"))
        steps: Sequence[Step] = ()
        try:
            steps = await self._steps.within(LOOK_SECONDS)
        except TimeoutError:
            parts.append(Part("the first steps", False, "cannot be looked at now"))
        return operators_page(self._version, parts, steps, self._links).encode()

    def _models(self) -> tuple[int, str, bytes]:
        """Name the released versions that cannot be served: one tenant's fault ends nobody else."""
        broken = self._warming.unavailable()
        if not broken:
            return 200, _TEXT, b"every released model that has room is ready\n"
        lines = [f"{'/'.join(key)}: {code}\n" for key, code in sorted(broken.items())]
        return 503, _TEXT, "".join(lines).encode()

    def _policies(self) -> tuple[int, str, bytes]:
        """Name the tenants that are shut by a policy set that cannot be used."""
        refused = sorted(self._refused_sets())
        if not refused:
            return 200, _TEXT, b"every tenant's policy set is in force\n"
        return 503, _TEXT, "".join(f"{tenant}: policy_set_invalid\n" for tenant in refused).encode()

    def _told(self) -> bytes:
        """Return all metrics; blocks."""
        self._sample()
        return generate_latest(self._metrics.registry)

    def _sample(self) -> None:
        """Read what is only looked at when somebody asks."""
        counters = self._authenticator.counters
        metrics = self._metrics
        metrics.audit_ready.set(self._log.ready)
        metrics.audit_waiting.set(self._log.waiting)
        metrics.audit_refused.set(self._log.refused)
        gauge = self._engines.gauge()
        metrics.engines.set(gauge.engines)
        metrics.engine_bytes.set(gauge.resident)
        metrics.waiting.set(gauge.waiting)
        metrics.resting.set(gauge.resting)
        metrics.unavailable.set(len(self._warming.unavailable()))
        metrics.memo.labels("token").set(_ratio(counters.hits, counters.misses))
        metrics.memo.labels("policy").set(_ratio(self._engine.hits, self._engine.misses))


_ELSEWHERE: Final = (
    b"try /, /metrics, /health/live, /health/ready, /health/models or /health/policies\n"
)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _of_models(warming: Warming) -> Part:
    if not warming.done:
        return Part("the released models", False, "are being loaded")
    broken = bool(warming.unavailable())
    return Part("the released models", not broken, "some cannot be served" if broken else "ready")


def _of_policies(refused: Sequence[str]) -> Part:
    return Part("the policy sets", not refused, "some cannot be used" if refused else "in force")


def _ratio(hits: int, misses: int) -> float:
    return hits / (hits + misses) if hits + misses else 0.0
