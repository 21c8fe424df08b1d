"""The outermost layer of a door: every answer names its request, and no exception is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.artifacts.errors import Interrupted
from gateway.request_lines import Ended, RequestLines
from gateway.traces import METHODS, OTHER, SERVER_FAULT, UNTRACED, Traces
from gateway.web import request_ids, tracing
from gateway.web.authenticated import tenant_of
from gateway.web.problems import STATUS, problem_code_of, problem_of

NO_STORE: Final = (b"cache-control", b"no-store")
"""Of every answer that does not say otherwise: some hold secrets, all are for one caller."""
NONCE: Final = b"dpop-nonce"
REFUSED: Final = 400
"""Statuses from here on are of requests that were not served."""


class Boundary:
    """The outermost ASGI layer: every answer names its request, and no exception is told.

    That is, none becomes a traceback in an answer or in a log. A request that the stopping server
    cancels is answered, too: it was cut off, and nobody is to blame. Nobody else cancels a request
    as a whole.

    Args:
        app: The ASGI application to guard.
        new_id: Gives each request its id.
        traces: Begins the traces of those that are traced.
        count: Told the template of each request's path (empty: no route has it) and the status.
        lines: Where lines of requests go.
        door: Its name in them.
        nonce: Returns what the next proof of possession is to carry; None where nothing is
            demanded. Told with every answer to a request that brought a proof (RFC 9449 section
            8.2), so that who calls often is never refused for an old one.
    """

    def __init__(
        self,
        app: ASGIApp,
        new_id: Callable[[], str],
        traces: Traces | None = None,
        count: Callable[[str, int], None] | None = None,
        lines: RequestLines | None = None,
        door: str = "",
        nonce: Callable[[], str] | None = None,
    ) -> None:
        self._app = app
        self._new_id = new_id
        self._traces = traces
        self._count = count
        self._lines = lines
        self._door = door
        self._nonce = nonce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; answer a bare 500 when nothing was sent yet."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lines = self._lines
        status = sent = 0
        began = 0.0 if lines is None else lines.monotonic()
        told: Sequence[tuple[bytes, bytes]] = ()
        request_id = self._new_id()
        request_ids.give(scope, request_id)
        trace = (
            UNTRACED if self._traces is None else self._traces.begin(scope["headers"], request_id)
        )
        tracing.give(scope, trace)
        # The server runs each request in a context of its own: nothing is to be taken back.
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def watched(message: Message) -> None:
            nonlocal status, sent, told
            if message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (request_ids.HEADER, request_id.encode())]
                if all(name != b"cache-control" for name, _ in headers):
                    headers.append(NO_STORE)
                if self._nonce is not None and _is_proven(scope):
                    headers = [one for one in headers if one[0].lower() != NONCE]
                    headers.append((NONCE, self._nonce().encode()))
                message["headers"] = told = headers
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except (Exception, asyncio.CancelledError) as error:
            known = Interrupted() if isinstance(error, asyncio.CancelledError) else error
            refused, headers, body = problem_of(known, scope)
            if refused == STATUS["internal"]:
                structlog.get_logger().error("request_failed", fault=type(error).__name__)
            if not status:
                start = {"type": "http.response.start", "status": refused, "headers": headers}
                await watched(start)
                await watched({"type": "http.response.body", "body": body})
        finally:
            if trace is not UNTRACED:
                trace.end(scope["method"], tracing.route_of(scope), status)
            if self._count is not None:
                self._count(tracing.route_of(scope), status)
            if lines is not None:
                served = 0 < status < REFUSED
                if lines.wanted(request_id, served=served):
                    seconds = lines.monotonic() - began
                    ended = _ended(self._door, scope, status, seconds, sent, told)
                    lines.add(ended, served=served)


def _is_proven(scope: Scope) -> bool:
    return any(name == b"dpop" for name, _ in scope["headers"])


def _ended(
    door: str,
    scope: Scope,
    status: int,
    seconds: float,
    sent: int,
    headers: Iterable[tuple[bytes, bytes]],
) -> Ended:
    """Gather what a line tells: of what the caller sent only a method that is known."""
    receipts = [value for name, value in headers if name == b"sealgate-audit"]
    return Ended(
        door,
        scope["method"] if scope["method"] in METHODS else OTHER,
        tracing.route_of(scope),
        status,
        seconds,
        sent,
        request_ids.request_id_of(scope),
        receipts[0].decode() if receipts else "",
        tenant_of(scope),
        problem_code_of(scope),
        failed=status >= SERVER_FAULT,
    )
