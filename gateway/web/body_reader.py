"""The body of one inference request, read within its bounds in bytes and time."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Receive

from gateway.inference.errors import (
    BodyTimeout,
    BodyTooLarge,
    MalformedRequest,
    TooManyRequests,
)

# Bodies held at the same time. A body of the default bound fits four times into a tenant's share.
TENANT_BYTES: Final = 128 << 20
ALL_BYTES: Final = 512 << 20


class BodyBudget:
    """Bytes of bodies that are held at the same time: by all, and by one tenant."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._all = 0

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._all

    def take(self, tenant: str, count: int) -> None:
        """Count bytes that arrived.

        Raises:
            TooManyRequests: Too many bytes are held for the tenant, or for all.
        """
        held = self._held.get(tenant, 0) + count
        if held > TENANT_BYTES or self._all + count > ALL_BYTES:
            raise TooManyRequests
        self._held[tenant] = held
        self._all += count

    def give_back(self, tenant: str, count: int) -> None:
        """Count bytes that are held no more."""
        self._all -= count
        self._held[tenant] -= count
        if not self._held[tenant]:
            del self._held[tenant]


class BodyReader:
    """Reads one request body within its bounds.

    Args:
        receive: The ASGI receive callable.
        declared: `Content-Length`, or `None` when the body is chunked.
        max_bytes: More is refused.
        timeout: Seconds for the whole body; a slow sender is not waited for.
        budget: What all bodies share.

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
    ) -> None:
        self._receive = receive
        self._declared = declared
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._budget = budget
        self._tenant = ""
        self._size = 0
        self.ended = False

    async def __call__(self, tenant: str) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLarge: Declared or found larger than the bound.
            BodyTimeout: It did not arrive in time.
            MalformedRequest: The sender went away before the end.
            TooManyRequests: Too many bytes are held at the moment.
        """
        if self._declared is not None and self._declared > self._max_bytes:
            raise BodyTooLarge
        self._tenant = tenant
        try:
            async with asyncio.timeout(self._timeout):
                return await self._collect()
        except TimeoutError:
            raise BodyTimeout from None

    async def _collect(self) -> bytes:
        parts: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise MalformedRequest("the sender went away before the end of the body")
            part = message.get("body", b"")
            if self._size + len(part) > self._max_bytes:
                raise BodyTooLarge
            self._budget.take(self._tenant, len(part))
            self._size += len(part)
            parts.append(part)
            more = message.get("more_body", False)
        self.ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """Give the body's bytes back to the budget."""
        if self._size:
            self._budget.give_back(self._tenant, self._size)
            self._size = 0
