from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.federation.node_keys import canonical_node_key
from gateway.federation.records import Site
from gateway.web import fleet
from gateway.web.fleet import FleetRelay

NOW = 1_700_000_000.0
KEY = ec.generate_private_key(ec.SECP384R1())
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
SITE = Site("acme", "st-mary", canonical_node_key(PEM.decode()), "7", created=0)
Upstream = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def _headers(at: float = NOW) -> dict[str, str]:
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    signature = KEY.sign(stamp.encode(), ec.ECDSA(hashes.SHA256()))
    return {
        "flwr-public-key": base64.b64encode(PEM).decode(),
        "flwr-timestamp": stamp,
        "flwr-signature": base64.b64encode(signature).decode(),
        "content-type": "application/protobuf",
        "authorization": "Bearer of-no-concern",
    }


class Door:
    """Opens for one key until it is shut."""

    def __init__(self) -> None:
        self.shut = False
        self.asked = 0
        self.held = asyncio.Event()

    async def __call__(self, key: str) -> tuple[Site, str] | None:
        self.asked += 1
        if self.asked >= 4:
            self.held.set()
        known = key == SITE.public_key and not self.shut
        return (SITE, "http://superlink") if known else None


async def _call(
    upstream: Upstream,
    path: str = "/v1/fleet/push-messages",
    *,
    door: Door | None = None,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    content: bytes | AsyncIterator[bytes] = b"body",
) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.MockTransport(upstream)) as onward:
        relay = FleetRelay(door or Door(), onward, lambda: NOW, recheck_s=0.01)
        transport = httpx.ASGITransport(relay)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as node:
            sent = _headers() if headers is None else headers
            return await node.request(method, path, headers=sent, content=content)


async def _echo(request: httpx.Request) -> httpx.Response:
    body = await request.aread()
    assert "authorization" not in request.headers
    headers = {"content-type": "application/protobuf", "set-cookie": "no"}
    stream = httpx.ByteStream(request.url.path.encode() + body)
    return httpx.Response(200, stream=stream, headers=headers)


async def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


def test_a_call_is_passed_on_with_the_headers_that_matter() -> None:
    answer = asyncio.run(_call(_echo))
    assert answer.content == b"/v1/fleet/push-messagesbody"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/fleet/register-node", "POST", 404),
        ("/v1/control/start-run", "POST", 404),
        ("/v1/fleet/../control/start-run", "POST", 404),
        ("/v1/fleet/", "POST", 404),
        ("/v1/fleet/get-run", "GET", 405),
    ],
)
def test_nothing_else_passes(path: str, method: str, status: int) -> None:
    assert asyncio.run(_call(_never, path, method=method)).status_code == status


def test_a_stale_or_foreign_signature_does_not_pass() -> None:
    stale = _headers(NOW - 400)
    foreign = _headers() | {"flwr-signature": base64.b64encode(bytes(96)).decode()}
    for headers in (stale, foreign, {}):
        assert asyncio.run(_call(_never, headers=headers)).status_code == 401


def test_a_revoked_site_does_not_pass() -> None:
    door = Door()
    door.shut = True
    assert asyncio.run(_call(_never, door=door)).status_code == 401


def test_a_site_that_is_revoked_while_it_sends_is_not_passed_on() -> None:
    """The SuperLink gets no end of the body, and so no request."""
    door, seen = Door(), []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first "
        door.shut = True
        yield b"last"

    async def superlink(request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            seen.append(piece)
        seen.append(b"the end")
        return httpx.Response(200)

    answer = asyncio.run(_call(superlink, door=door, content=pieces()))
    assert (answer.status_code, answer.content) == (401, b"")
    assert b"last" not in seen
    assert b"the end" not in seen


def test_a_body_in_pieces_is_passed_on_whole() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"a", b"", b"bc", b"d"):
            yield piece

    assert asyncio.run(_call(_echo, content=pieces())).content.endswith(b"abcd")


def test_a_body_is_bounded() -> None:
    too_long = bytes(fleet.MAX_POLL_BODY + 1)
    answer = asyncio.run(_call(_never, "/v1/fleet/pull-messages", content=too_long))
    assert answer.status_code == 413


def test_an_upstream_that_fails_is_a_502_without_detail() -> None:
    async def fails(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("127.0.0.1:4711 refused", request=request)

    answer = asyncio.run(_call(fails))
    assert (answer.status_code, answer.content) == (502, b"")


def test_a_task_that_was_pulled_while_the_site_was_revoked_is_not_handed_over() -> None:
    door = Door()

    async def task(_: httpx.Request) -> httpx.Response:
        door.shut = True
        return httpx.Response(200, content=b"the task")

    answer = asyncio.run(_call(task, "/v1/fleet/pull-messages", door=door))
    assert (answer.status_code, answer.content) == (401, b"")


def test_a_held_pull_ends_when_the_site_is_revoked() -> None:
    door, ended = Door(), []

    async def holds(_: httpx.Request) -> httpx.Response:
        door.shut = True
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        raise AssertionError

    answer = asyncio.run(_call(holds, "/v1/fleet/pull-messages", door=door))
    assert answer.status_code == 401
    assert ended == [True]


def test_a_pull_is_answered_when_the_superlink_answers() -> None:
    door = Door()

    async def later(_: httpx.Request) -> httpx.Response:
        await door.held.wait()
        return httpx.Response(200, content=b"the task")

    answer = asyncio.run(_call(later, "/v1/fleet/pull-messages", door=door))
    assert answer.content == b"the task"


class SuperLink:
    """Holds a pull until there is a message, and hands each message over once."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.arrived = asyncio.Event()
        self.pulled = asyncio.Event()
        self.left = asyncio.Event()

    def bring(self, message: bytes) -> None:
        self.messages.append(message)
        self.arrived.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.pulled.set()
        gone = asyncio.ensure_future(receive())
        come = asyncio.ensure_future(self.arrived.wait())
        await asyncio.wait({gone, come}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
            come.cancel()
            return
        gone.cancel()
        body = self.messages.pop()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _served(app: ASGIApp) -> AsyncIterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, lifespan="off", loop="asyncio", ws="none")
    )
    up = asyncio.ensure_future(server._serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await up


def test_a_site_that_hangs_up_takes_no_message_with_it() -> None:
    """Over real connections: the message stays for the site's next pull."""

    async def play() -> bytes:
        superlink, headers = SuperLink(), _headers()
        async with _served(superlink) as port, httpx.AsyncClient() as onward:

            async def door(_: str) -> tuple[Site, str]:
                return SITE, f"http://127.0.0.1:{port}"

            relay = FleetRelay(door, onward, lambda: NOW)
            async with _served(relay) as here:
                url = f"http://127.0.0.1:{here}/v1/fleet/pull-messages"
                async with httpx.AsyncClient() as node:
                    first = asyncio.ensure_future(node.post(url, headers=headers, content=b"n"))
                    await superlink.pulled.wait()
                    first.cancel()
                await superlink.left.wait()
                superlink.bring(b"the task")
                async with httpx.AsyncClient() as node:
                    return (await node.post(url, headers=headers, content=b"n")).content

    assert asyncio.run(asyncio.wait_for(play(), 30)) == b"the task"


def test_a_pull_that_fails_when_its_site_has_gone_is_not_told_to_the_loop() -> None:
    told: list[object] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        incoming: asyncio.Queue[dict[str, object]] = asyncio.Queue()

        async def fails(request: httpx.Request) -> httpx.Response:
            incoming.put_nowait({"type": "http.disconnect"})
            raise httpx.ConnectError("refused", request=request)

        async def drop(_: object) -> None:
            pass

        incoming.put_nowait({"type": "http.request", "body": b"n"})
        names = [(name.encode(), value.encode()) for name, value in _headers().items()]
        scope = {"type": "http", "method": "POST", "path": "/v1/fleet/pull-messages"}
        async with httpx.AsyncClient(transport=httpx.MockTransport(fails)) as onward:
            relay = FleetRelay(Door(), onward, lambda: NOW)
            await relay(scope | {"headers": names, "query_string": b""}, incoming.get, drop)
        gc.collect()

    asyncio.run(play())
    assert told == []
