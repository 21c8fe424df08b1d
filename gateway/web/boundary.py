"""The outermost layer of a door: every answer names its request, and no exception is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.artifacts.errors import Interrupted
from gateway.traces import UNTRACED, Traces
from gateway.web import request_ids, tracing
from gateway.web.problems import STATUS, problem_of

NO_STORE: Final = (b"cache-control", b"no-store")
"""Of every answer that does not say otherwise: some hold secrets, all are for one caller."""


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
    """

    def __init__(
        self,
        app: ASGIApp,
        new_id: Callable[[], str],
        traces: Traces | None = None,
        count: Callable[[str, int], None] | None = None,
    ) -> None:
        self._app = app
        self._new_id = new_id
        self._traces = traces
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; answer a bare 500 when nothing was sent yet."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        request_id = self._new_id()
        request_ids.give(scope, request_id)
        trace = (
            UNTRACED if self._traces is None else self._traces.begin(scope["headers"], request_id)
        )
        tracing.give(scope, trace)
        # The server runs each request in a context of its own: nothing is to be taken back.
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (request_ids.HEADER, request_id.encode())]
                if all(name != b"cache-control" for name, _ in headers):
                    headers.append(NO_STORE)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except (Exception, asyncio.CancelledError) as error:
            known = Interrupted() if isinstance(error, asyncio.CancelledError) else error
            told, headers, body = problem_of(known, scope)
            if told == STATUS["internal"]:
                structlog.get_logger().error("request_failed", fault=type(error).__name__)
            if not status:
                await watched({"type": "http.response.start", "status": told, "headers": headers})
                await watched({"type": "http.response.body", "body": body})
        finally:
            if trace is not UNTRACED:
                trace.end(scope["method"], tracing.route_of(scope), status)
            if self._count is not None:
                self._count(tracing.route_of(scope), status)
