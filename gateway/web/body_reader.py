"""The body of one inference request, read within its bounds in bytes and time.

A compressed body is inflated as it comes in. It is what comes out that is bounded, and counted
against what all bodies share; of what goes in, only slices are kept.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from gateway.inference.body_budget import BodyBudget
from gateway.inference.errors import BodyTimeout, BodyTooLarge, MalformedRequest
from gateway.inference.inflating import Inflater, inflater_for


class BodyReader:
    """Reads one request body within its bounds.

    Args:
        receive: The ASGI receive callable.
        declared: `Content-Length`, or `None` when the body is chunked.
        max_bytes: More is refused.
        timeout: Seconds for the whole body; a slow sender is not waited for.
        budget: What all bodies share.
        coding: `Content-Encoding`, as it was sent.

    Attributes:
        ended: Whether the body was read to its end.
    """

    def __init__(
        self,
        receive: Receive,
        declared: int | None,
        max_bytes: int,
        timeout: float,
        budget: BodyBudget,
        coding: bytes = b"",
    ) -> None:
        self._receive = receive
        self._declared = declared
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._budget = budget
        self._coding = coding
        self._tenant = ""
        self._size = 0
        self._late = False
        self.ended = False

    async def __call__(self, tenant: str) -> bytes:
        """Return the whole body.

        Raises:
            UnsupportedEncoding: It is compressed in a way that is not read here.
            BodyTooLarge: Declared, found or inflated larger than the bound.
            BodyTimeout: It did not arrive in time.
            MalformedRequest: The sender went away before the end, or what is compressed is broken.
            TooManyRequests: Too many bytes are held at the moment.
        """
        inflater = inflater_for(self._coding)
        if self._declared is not None and self._declared > self._max_bytes:
            raise BodyTooLarge
        self._tenant = tenant
        parts: list[bytes] = []
        task = asyncio.current_task()
        assert task is not None
        # What `asyncio.timeout` does, at a fifth of its cost: most bodies are there already.
        timer = asyncio.get_running_loop().call_later(self._timeout, self._expire, task)
        try:
            while not self.ended:
                part = await self._next()
                if inflater is None:
                    self._keep(parts, part)
                else:
                    await self._inflate(parts, part, inflater)
        except asyncio.CancelledError:
            if not self._late or task.uncancel():
                raise
            raise BodyTimeout from None
        finally:
            timer.cancel()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _expire(self, task: asyncio.Task[object]) -> None:
        self._late = True
        task.cancel()

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise MalformedRequest("the sender went away before the end of the body")
        self.ended = not message.get("more_body", False)
        part = message.get("body", b"")
        assert isinstance(part, bytes)
        return part

    async def _inflate(self, parts: list[bytes], part: bytes, inflater: Inflater) -> None:
        for piece in inflater.feed(part):
            if piece:
                self._keep(parts, piece)
            await asyncio.sleep(0)  # others have their turn between two pieces
        if self.ended:
            inflater.end()

    def _keep(self, parts: list[bytes], part: bytes) -> None:
        if self._size + len(part) > self._max_bytes:
            raise BodyTooLarge
        self._budget.take(self._tenant, len(part))
        self._size += len(part)
        parts.append(part)

    def release(self) -> None:
        """Give the body's bytes back to the budget."""
        if self._size:
            self._budget.give_back(self._tenant, self._size)
            self._size = 0
