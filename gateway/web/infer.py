"""The ASGI door of `POST /v2/models/{model}[/versions/{version}]/infer`.

A thin skin over `Pipeline.infer`: it bounds the body in bytes and time, shapes the answer, and
notices a caller who hangs up. It is plain ASGI because a framework's route would cost a third of
the request (`docs/performance.md`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.identity.authenticate import Credentials
from gateway.inference.errors import BodyTimeout, BodyTooLarge, MalformedRequest, TooManyRequests
from gateway.inference.oip import BINARY_TYPE, JSON_TYPE, OipBody, OipCodec
from gateway.inference.pipeline import InferAnswer, InferCall, Pipeline

PREFIX: Final = ["", "v2", "models"]
# Bodies held at the same time. A body of the default bound fits four times into a tenant's share.
TENANT_BYTES: Final = 128 << 20
ALL_BYTES: Final = 512 << 20
# A request that takes longer is watched for the end of its connection.
WATCH_SECONDS: Final = 0.1
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


class _Watch:
    """Cancels a request that takes long when its caller hangs up meanwhile.

    What a caller who is gone has asked for is not worth a model's time, and it is recorded as what
    it is. A short request is not watched: looking for the end of a connection costs more than it.

    Args:
        receive: The ASGI receive callable; used only after the body was read.
        body: Tells whether the body was read.
        after: Seconds after which a request is watched.

    Attributes:
        gone: The caller hung up, and the request was cancelled for it.
    """

    def __init__(self, receive: Receive, body: BodyReader, after: float) -> None:
        self._receive = receive
        self._body = body
        self._after = after
        self._asker = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(after, self._begin)
        self.gone = False

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _begin(self) -> None:
        if self._body.ended:
            self._watcher = asyncio.ensure_future(self._wait())
        else:  # the reader notices by itself
            self._timer = asyncio.get_running_loop().call_later(self._after, self._begin)

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        assert self._asker is not None
        self._asker.cancel()


class InferEndpoint:
    """Answers inference requests.

    Args:
        pipeline: The way of a request.
        problem_of: Shapes an error as a problem.
        max_body_bytes: Bound of the body.
        body_timeout: Seconds that a body may take.
        budget: What all bodies share.
        watch_after: Seconds after which a request is watched for the end of its connection.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        problem_of: Callable[[Exception], Problem],
        *,
        max_body_bytes: int,
        body_timeout: float,
        budget: BodyBudget,
        watch_after: float = WATCH_SECONDS,
    ) -> None:
        self._pipeline = pipeline
        self._problem_of = problem_of
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._budget = budget
        self._watch_after = watch_after

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, target: tuple[str, str | None]
    ) -> None:
        """Answer one POST to an inference path."""
        call, reader = self._call(scope, receive, target)
        watch = _Watch(receive, reader, self._watch_after)
        try:
            status, headers, parts = _success(await self._pipeline.infer(call))
        except asyncio.CancelledError:
            if not watch.gone:
                raise
            return  # it is recorded, and there is nobody to answer
        except Exception as error:
            status, headers, body = self._problem_of(error)
            parts = [body]
        finally:
            watch.end()
            reader.release()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": parts[-1]})

    def _call(
        self, scope: Scope, receive: Receive, target: tuple[str, str | None]
    ) -> tuple[InferCall[OipBody], BodyReader]:
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
        path = scope["raw_path"].decode("ascii")
        call = InferCall(
            credentials=Credentials(scope["headers"], scope["method"], path),
            model=model,
            version=version,
            codec=OipCodec(header_length),
            read=reader,
        )
        return call, reader


def _number(value: bytes) -> int:
    """Read a decimal header; what is not one becomes 0, which no bound accepts as a length."""
    return int(value) if value.isdigit() and len(value) < 16 else 0


def _success(
    answer: InferAnswer[OipBody],
) -> tuple[int, list[tuple[bytes, bytes]], list[bytes]]:
    body = answer.rendered
    headers = [
        (b"content-type", JSON_TYPE if body.header_length is None else BINARY_TYPE),
        (b"content-length", str(sum(map(len, body.parts))).encode()),
        (b"sealgate-audit", str(answer.receipt).encode()),
        (b"cache-control", b"no-store"),
    ]
    if body.header_length is not None:
        headers.append((b"inference-header-content-length", str(body.header_length).encode()))
    return 200, headers, body.parts


class PublicApp:
    """The public door: inference goes straight to its endpoint, the rest to the framework.

    Args:
        infer: The hot path.
        control: Everything else.
    """

    def __init__(self, infer: InferEndpoint, control: ASGIApp) -> None:
        self._infer = infer
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one connection event."""
        if scope["type"] == "http" and scope["method"] == "POST":
            target = infer_target(scope["path"])
            if target is not None:
                await self._infer(scope, receive, send, target)
                return
        await self._control(scope, receive, send)
