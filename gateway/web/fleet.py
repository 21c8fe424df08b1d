"""The site door: passes `/v1/fleet/*` on to the SuperLink of the site's tenant.

Safety argument:
1. Only the listed paths and only POST are passed on: control and runtime calls of Flower have no
   way through this door.
2. The node proves possession of its key by a fresh signature before anything is held or sent on.
3. The key leads to the site and the site to the tenant; nothing the node says chooses the target.
4. A revoked site or suspended tenant is refused. That is asked again when a body has come in: its
   end, without which the SuperLink does nothing, is passed on only if the site may pass then. While
   a pull is held it is asked again and again, and once more after it was answered: no task leaves
   after a revoke has returned.
5. A held pull ends with its site's connection: the SuperLink hands a message over once, so one that
   is pulled for a site that has gone would be lost.
6. Bodies are bounded; upstream errors are not passed on in detail. The SuperLink keeps at most one
   pull a key open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import httpx
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.errors import InvalidRequest
from gateway.federation.node_keys import node_key_of_header, signed_recently
from gateway.federation.records import Site
from gateway.web.tracing import name_route

PREFIX: Final = "/v1/fleet/"
CALLS: Final = frozenset(
    {
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "push-object",
        "pull-object",
        "confirm-message-received",
    }
)
"""What a registered SuperNode of Flower 1.41 calls; it is the convenor who registers it."""
MAX_BODY: Final = 64 << 20
"""One packed array of parameters; Flower cuts larger objects into pieces."""
MAX_POLL_BODY: Final = 64 << 10
"""A pull names one node and a few message ids."""
HOLD_S: Final = 40.0
"""Longest wait for the SuperLink's answer to a pull; it holds one for up to 20 s itself."""
RECHECK_S: Final = 0.5
"""How often a held pull asks whether its site may still pass."""
_PASSED_BACK: Final = ("content-type",)

Door = Callable[[str], Awaitable[tuple[Site, str] | None]]
"""Canonical key line → (site, fleet URL of its tenant), or None when it may not pass now."""


class FleetRelay:
    """ASGI application for the site door.

    Args:
        door: Says where a key leads at this moment; asked before each forward.
        client: HTTP client for the SuperLinks.
        clock: Unix seconds.
        recheck_s: Seconds between two questions to `door` while a pull is held.
        connected: Called with (site, call) after a successful activate or deactivate.
        lost: Called with a tenant whose SuperLink did not answer.
    """

    def __init__(
        self,
        door: Door,
        client: httpx.AsyncClient,
        clock: Callable[[], float],
        *,
        recheck_s: float = RECHECK_S,
        connected: Callable[[Site, str], Awaitable[None]] | None = None,
        lost: Callable[[str], None] | None = None,
    ) -> None:
        self._door = door
        self._client = client
        self._clock = clock
        self._recheck_s = recheck_s
        self._connected = connected
        self._lost = lost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan events are acknowledged."""
        if scope["type"] == "lifespan":
            await _acknowledge_lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        call = request.url.path.removeprefix(PREFIX)
        if not request.url.path.startswith(PREFIX) or call not in CALLS:
            return Response(status_code=404)
        name_route(request.scope, request.url.path)  # one of `CALLS`
        if request.method != "POST":
            return Response(status_code=405, headers={"allow": "POST"})
        key = self._possessed_key(request)
        if key is None:
            return Response(status_code=401)
        try:
            if call == "pull-messages":
                return await self._hold(request, key)
            return await self._forward(request, key, call)
        except _OversizeError:
            return Response(status_code=413)
        except _ShutError:
            return Response(status_code=401)
        except ClientDisconnect:
            return Response(status_code=400)
        except httpx.HTTPError as fault:
            structlog.get_logger().warning("fleet_upstream_fault", kind=type(fault).__name__)
            await self._forget(key)
            return Response(status_code=502)

    def _possessed_key(self, request: Request) -> str | None:
        try:
            key = node_key_of_header(request.headers.get("flwr-public-key", ""))
        except InvalidRequest:
            return None
        stamp = request.headers.get("flwr-timestamp", "")
        signature = request.headers.get("flwr-signature", "")
        return key if signed_recently(key, stamp, signature, self._clock()) else None

    async def _forget(self, key: str) -> None:
        target = await self._door(key)
        if target is not None and self._lost is not None:
            self._lost(target[0].tenant)

    async def _forward(self, request: Request, key: str, call: str) -> Response:
        target = await self._door(key)
        if target is None:
            return Response(status_code=401)
        site, url = target
        body = self._while_open(key, _bounded(request))
        upstream = await self._client.send(
            self._client.build_request(
                "POST", f"{url}{PREFIX}{call}", content=body, headers=_onward(request)
            ),
            stream=True,
        )
        if self._connected and upstream.is_success and call.endswith("activate-node"):
            await self._connected(site, call)
        return StreamingResponse(
            _drain(upstream), upstream.status_code, headers=_backward(upstream)
        )

    async def _while_open(self, key: str, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a body on one piece behind, and its last piece only if the door is open by then."""
        last = b""
        async for piece in body:
            if last:
                yield last
            last = piece
        if await self._door(key) is None:
            raise _ShutError
        if last:
            yield last

    async def _hold(self, request: Request, key: str) -> Response:
        """Pass a pull on; the SuperLink keeps it open until there is a message.

        INVARIANT: nothing that was pulled is handed over unless the door is open after the pull.
        INVARIANT: when this returns, nothing is being pulled for it any more.
        """
        body = b"".join([piece async for piece in _bounded(request, MAX_POLL_BODY)])
        target = await self._door(key)
        if target is None:
            return Response(status_code=401)
        pull = asyncio.ensure_future(
            self._client.post(
                f"{target[1]}{PREFIX}pull-messages",
                content=body,
                headers=_onward(request),
                timeout=HOLD_S,
            )
        )
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            while not pull.done():
                await asyncio.wait(
                    {pull, gone}, timeout=self._recheck_s, return_when=asyncio.FIRST_COMPLETED
                )
                if gone.done() or await self._door(key) is None:
                    return Response(status_code=401)
            answer = await pull
            return Response(answer.content, answer.status_code, headers=_backward(answer))
        finally:
            gone.cancel()
            pull.cancel()
            await asyncio.gather(gone, pull, return_exceptions=True)


class _OversizeError(Exception):
    """A body went over its bound."""


class _ShutError(Exception):
    """The site may not pass any more."""


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _bounded(request: Request, limit: int = MAX_BODY) -> AsyncIterator[bytes]:
    seen = 0
    async for piece in request.stream():
        seen += len(piece)
        if seen > limit:
            raise _OversizeError
        yield piece


async def _drain(upstream: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in upstream.aiter_raw():
            yield piece
    finally:
        await upstream.aclose()


def _onward(request: Request) -> dict[str, str]:
    return {
        name: value
        for name, value in request.headers.items()
        if name.startswith("flwr-") or name in {"content-type", "accept"}
    } | {"accept-encoding": "identity"}


def _backward(upstream: httpx.Response) -> dict[str, str]:
    return {
        name: value
        for name, value in upstream.headers.items()
        if name in _PASSED_BACK or name.startswith("flwr-")
    }


async def _acknowledge_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
