"""Bodies of requests are bounded in bytes and in time, whatever the route does with them.

Safety argument:
1. Every piece that a route is handed was counted and came before the deadline of the whole body,
   also when the body is sent in chunks without a declared length.
2. A body that is declared too large is refused before any of it is read.
3. A refusal takes the place of whatever the route makes of a body that breaks off.
4. The connection of a body that did not come to its end is closed.
Uploads are left out: they are streamed to the store, and bounded there.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import SealgateError
from gateway.inference.errors import BodyTimeout, BodyTooLarge
from gateway.web.problems import problem_of

MAX_BODY: Final = 1 << 20
"""A policy set of 256 KiB, escaped as JSON, is the largest there is."""
STREAMED: Final = "/v1/uploads"
DIGITS: Final = 20
"""Of a declared length that are read: more are too many by their first ones."""
CLOSE: Final = (b"connection", b"close")


class BoundedBody:
    """Hands bodies on within their bounds.

    Args:
        app: The ASGI application to guard.
        seconds: For the whole body.
        max_bytes: Most bytes of a body.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, max_bytes: int = MAX_BODY) -> None:
        self._app = app
        self._seconds = seconds
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] == STREAMED or not has_body(scope):
            await self._app(scope, receive, send)
            return
        if _declared(scope) > self._max_bytes:
            await refuse(scope, send, BodyTooLarge(), CLOSE)
            return
        body = _Body(receive, self._max_bytes, asyncio.get_running_loop().time() + self._seconds)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if body.refusal is not None and not started:
                return
            if message["type"] == "http.response.start" and not body.ended:
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            started = True
            await send(message)

        try:
            await self._app(scope, body.receive, answer)
        except Exception:
            if body.refusal is None:
                raise
        if body.refusal is not None and not started:
            await refuse(scope, send, body.refusal, CLOSE)


class _Body:
    """One body on its way in.

    Attributes:
        ended: Its last piece came, or its sender went away.
        refusal: Which bound it broke.
    """

    def __init__(self, receive: Receive, max_bytes: int, deadline: float) -> None:
        self._receive = receive
        self._left = max_bytes
        self._deadline = deadline
        self.ended = False
        self.refusal: SealgateError | None = None

    async def receive(self) -> Message:
        """Return the next piece, and after the last what the server has to say.

        Raises:
            BodyTooLarge: More came than is taken.
            BodyTimeout: It did not come in time.
        """
        if self.ended:
            return await self._receive()
        if self.refusal is None:
            message = await self._next()
            if message is not None:
                return message
        assert self.refusal is not None
        raise self.refusal

    async def _next(self) -> Message | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self.refusal = BodyTimeout()
            return None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.refusal = BodyTooLarge()
            return None
        self.ended = not message.get("more_body", False)
        return message


def has_body(scope: Scope) -> bool:
    """Tell whether a request announces a body (RFC 9112, section 6.3)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def refuse(scope: Scope, send: Send, refusal: Exception, *more: tuple[bytes, bytes]) -> None:
    """Answer with the problem of a refusal.

    Args:
        scope: Of the request.
        send: Of the request.
        refusal: One of our errors.
        *more: Headers besides those of the problem.
    """
    status, headers, body = problem_of(refusal, scope)
    start = {"type": "http.response.start", "status": status, "headers": [*headers, *more]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _declared(scope: Scope) -> int:
    """Return the declared length; 0 when there is none, and for what is no number."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:DIGITS])
    return 0
