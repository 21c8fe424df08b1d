"""The ASGI door of `POST /v2/models/{model}[/versions/{version}]/infer`.

A thin skin over `Pipeline.infer`: it bounds the body in bytes and time, and shapes the answer. It
is plain ASGI because a framework's route would cost a third of the request (`docs/performance.md`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.inference.errors import BodyTimeout, BodyTooLarge, MalformedRequest, TooManyRequests
from gateway.inference.oip import BINARY_TYPE, JSON_TYPE
from gateway.inference.pipeline import InferAnswer, InferCall, Pipeline

PREFIX: Final = ["", "v2", "models"]
# Bodies held at the same time. A body of the default bound fits four times into a tenant's share.
TENANT_BYTES: Final = 128 << 20
ALL_BYTES: Final = 512 << 20
Problem = tuple[int, list[tuple[bytes, bytes]], bytes]


def infer_target(path: str) -> tuple[str, str | None] | None:
    """Return model and version when `path`, percent-decoded, is an inference path, else `None`."""
    parts = path.split("/")
    if parts[:3] != PREFIX or parts[-1] != "infer":
        return None
    if len(parts) == 5:
        return parts[3], None
    if len(parts) == 7 and parts[4] == "versions":
        return parts[3], parts[5]
    return None


class BodyBudget:
    """Bytes of bodies that are held at the same time: by all, and by one tenant."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._all = 0

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
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """Give the body's bytes back to the budget."""
        if self._size:
            self._budget.give_back(self._tenant, self._size)
            self._size = 0


class InferEndpoint:
    """Answers inference requests.

    Args:
        pipeline: The way of a request.
        problem_of: Shapes an error as a problem.
        max_body_bytes: Bound of the body.
        body_timeout: Seconds that a body may take.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        problem_of: Callable[[Exception], Problem],
        *,
        max_body_bytes: int,
        body_timeout: float,
    ) -> None:
        self._pipeline = pipeline
        self._problem_of = problem_of
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._budget = BodyBudget()

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, target: tuple[str, str | None]
    ) -> None:
        """Answer one POST to an inference path."""
        call, reader = self._call(scope, receive, target)
        try:
            answer = await self._pipeline.infer(call)
            status, headers, parts = _success(answer)
        except Exception as error:
            status, headers, body = self._problem_of(error)
            parts = [body]
        finally:
            reader.release()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": parts[-1]})

    def _call(
        self, scope: Scope, receive: Receive, target: tuple[str, str | None]
    ) -> tuple[InferCall, BodyReader]:
        header_length = declared = None
        for name, value in scope["headers"]:
            if name == b"inference-header-content-length":
                header_length = _number(value)
            elif name == b"content-length":
                declared = _number(value)
        reader = BodyReader(
            receive, declared, self._max_body_bytes, self._body_timeout, self._budget
        )
        model, version = target
        call = InferCall(
            model=model,
            version=version,
            headers=scope["headers"],
            path=scope["raw_path"].decode("ascii"),
            header_length=header_length,
            read=reader,
        )
        return call, reader


def _number(value: bytes) -> int:
    """Read a decimal header; what is not one becomes 0, which no bound accepts as a length."""
    return int(value) if value.isdigit() and len(value) < 16 else 0


def _success(answer: InferAnswer) -> tuple[int, list[tuple[bytes, bytes]], list[bytes]]:
    headers = [
        (b"content-type", JSON_TYPE if answer.header_length is None else BINARY_TYPE),
        (b"content-length", str(sum(map(len, answer.body))).encode()),
        (b"sealgate-audit", str(answer.receipt).encode()),
        (b"cache-control", b"no-store"),
    ]
    if answer.header_length is not None:
        headers.append((b"inference-header-content-length", str(answer.header_length).encode()))
    return 200, headers, answer.body
