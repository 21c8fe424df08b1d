from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.lifecycle.node_keys import canonical_node_key
from gateway.lifecycle.records import Site
from gateway.web import fleet
from gateway.web.fleet import FleetRelay

NOW = 1_700_000_000.0
KEY = ec.generate_private_key(ec.SECP384R1())
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
SITE = Site("acme", "st-mary", canonical_node_key(PEM.decode()), "7", created=0)
Upstream = Callable[[httpx.Request], Awaitable[httpx.Response]]


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
    content: bytes = b"body",
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
