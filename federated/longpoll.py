"""Hold a site's empty pull until there is a message: an ASGI wrapper around the SuperLink.

A stock SuperNode sleeps three seconds after a pull that came back empty. Here such a pull stays
open, costs nothing while it waits, and is answered as soon as a message is there.

1. Every look is a whole pass through the SuperLink, so a held poll is authenticated before it is
   held and again at each look; removing a node makes every held poll look again, and its own gets
   401.
2. At most one poll is held for a node key: when a second one comes, the first is answered empty.
3. A message is taken out of the SuperLink by the look that finds it, so no look happens after the
   client is gone.
4. Waiting polls are woken once per push, when the ServerApp first looks for replies: by then every
   object of its messages is there, and no site has to wait for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PULL: Final = "/v1/fleet/pull-messages"
PUSH: Final = "/v1/runtime/push-messages"
COLLECT: Final = "/v1/runtime/pull-messages"
UNREGISTER: Final = "/v1/control/unregister-node"
KEY_HEADER: Final = b"flwr-public-key"

HOLD_S = 20.0
"""Below the 30 s after which a SuperNode's HTTP client gives up."""

MAX_BODY_BYTES = 4096
"""A pull carries a node id; what is larger is passed on and not held."""


class LongPoll:
    """Wraps the SuperLink's app; use it in one event loop."""

    def __init__(self, app: App, *, hold_s: float = HOLD_S) -> None:
        self._app = app
        self._hold_s = hold_s
        self._pushed = False
        self._wake = asyncio.Event()
        self._held: dict[bytes, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        path = scope.get("path") if scope["type"] == "http" else None
        if path == PULL:
            await self._pull(scope, receive, send)
            return
        if path == COLLECT and self._pushed:
            self._pushed = False
            self._look_again()
        await self._app(scope, receive, send)
        if path == PUSH:
            self._pushed = True
        elif path == UNREGISTER:
            self._look_again()

    def _look_again(self) -> None:
        """Wake every held poll."""
        self._wake.set()
        self._wake = asyncio.Event()

    async def _pull(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            await _respond(send, _Answer(413, [], b""))
            return
        key = dict(scope["headers"]).get(KEY_HEADER, b"")
        superseded = asyncio.Event()
        if (earlier := self._held.pop(key, None)) is not None:
            earlier.set()
        self._held[key] = superseded
        try:
            answer = await self._hold(scope, body, receive, superseded)
        finally:
            if self._held.get(key) is superseded:
                del self._held[key]
        if answer is not None:
            await _respond(send, answer)

    async def _hold(
        self, scope: Scope, body: bytes, receive: Receive, superseded: asyncio.Event
    ) -> _Answer | None:
        """Return the first answer with a message or the last empty one; None: the client left."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._hold_s
        gone = asyncio.ensure_future(_disconnected(receive))
        replaced = asyncio.ensure_future(superseded.wait())
        try:
            while True:
                # Taken before the look: a push that comes during it is not missed.
                woken = asyncio.ensure_future(self._wake.wait())
                answer = await self._look(scope, body)
                if not answer.is_empty or superseded.is_set():
                    woken.cancel()
                    return answer
                waiting = {woken, gone, replaced}
                await asyncio.wait(
                    waiting, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                woken.cancel()
                if gone.done():
                    return None
                if replaced.done() or loop.time() >= until:
                    return answer
        finally:
            gone.cancel()
            replaced.cancel()

    async def _look(self, scope: Scope, body: bytes) -> _Answer:
        """Pass the request through the SuperLink once and collect its answer."""
        answer = _Answer(500, [], b"")
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                answer.content += message.get("body", b"")

        await self._app(dict(scope), receive, send)
        return answer


class _Answer:
    """A collected response."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def is_empty(self) -> bool:
        """A `PullMessagesResponse` without messages serialises to nothing."""
        return self.status == 200 and not self.content


async def _body(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(send: Send, answer: _Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.content})
