"""The operators' door, on an address of its own: `/metrics`, `/health/live`, `/health/ready`."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Receive, Scope, Send

from audit.log import AuditLog
from gateway.identity.authenticate import Authenticator
from gateway.telemetry import Metrics
from policies.engine import PolicyEngine

_TEXT = "text/plain; charset=utf-8"


class OperationsApp:
    """ASGI application for scrapers and orchestrators.

    Args:
        metrics: What is counted.
        log: The gateway is ready only while it takes records.
        engine, authenticator: Their memos' hit ratios are shown.
    """

    def __init__(
        self, metrics: Metrics, log: AuditLog, engine: PolicyEngine, authenticator: Authenticator
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._engine = engine
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request; only GET and HEAD are answered, and nothing else spoken."""
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, _TEXT, b"GET only\n"
        if path == "/metrics":
            self._sample()
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._metrics.registry)
        if path == "/health/live":
            return 200, _TEXT, b"live\n"
        if path == "/health/ready":
            ready = self._log.ready
            return (200, _TEXT, b"ready\n") if ready else (503, _TEXT, b"the audit log is down\n")
        return 404, _TEXT, b"try /metrics, /health/live or /health/ready\n"

    def _sample(self) -> None:
        """Read what is only looked at when somebody asks."""
        counters = self._authenticator.counters
        metrics = self._metrics
        metrics.audit_ready.set(self._log.ready)
        metrics.memo.labels("token").set(_ratio(counters.hits, counters.misses))
        metrics.memo.labels("policy").set(_ratio(self._engine.hits, self._engine.misses))


def _ratio(hits: int, misses: int) -> float:
    return hits / (hits + misses) if hits + misses else 0.0
