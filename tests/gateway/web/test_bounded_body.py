from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Message, Scope

from gateway.cli.failures import CommandFailed
from gateway.web.bounded_body import MAX_BODY, STREAMED, BoundedBody
from tests.gateway.place import Place

SMALL = 16
JSON = {"content-type": "application/json"}


class Order(BaseModel):
    text: str


def _app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(BoundedBody, seconds=0.05, max_bytes=SMALL)

    @app.post("/model")
    def model(body: Order) -> str:
        return body.text

    @app.post("/stream")
    @app.post(STREAMED)
    async def stream(request: Request) -> int:
        return len(await request.body())

    @app.post("/careless")
    async def careless(request: Request) -> JSONResponse:
        """Makes an answer of its own of whatever goes wrong with the body."""
        try:
            await request.body()
        except Exception:
            return JSONResponse("well", 200)
        return JSONResponse("read")

    @app.get("/deaf")
    def deaf() -> str:
        return "said"

    return app


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _ask(path: str, body: bytes | AsyncIterator[bytes]) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post(path, content=body, headers=JSON)

    return asyncio.run(ask())


def test_a_body_within_its_bounds_arrives() -> None:
    assert _ask("/model", b'{"text":"hello"}').json() == "hello"
    assert _ask("/stream", _pieces(*[b"x"] * SMALL)).json() == SMALL


@pytest.mark.parametrize("path", ["/model", "/stream", "/careless"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused(path: str, declared: bool) -> None:
    body = b"x" * (SMALL + 1)
    answer = _ask(path, body if declared else _pieces(body[:9], body[9:]))
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert answer.json()["title"] == "body too large"


def test_an_upload_is_left_to_its_own_bounds() -> None:
    assert _ask(STREAMED, b"x" * 99).json() == 99


Receive = Callable[[], Awaitable[Message]]


async def _raw(path: str, receive: Receive, method: str = "POST") -> list[Message]:
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"transfer-encoding", b"chunked")],
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await _app()(scope, receive, send)
    return sent


async def _never_ends() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("path", ["/model", "/stream", "/careless"])
def test_a_body_that_does_not_come_is_not_waited_for(path: str) -> None:
    sent = asyncio.run(_raw(path, _never_ends))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["title"] == "body timeout"


def test_the_time_is_that_of_the_whole_body() -> None:
    """A sender that always sends something, and never an end, is not waited for either."""

    async def drips() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    assert asyncio.run(_raw("/stream", drips))[0]["status"] == 408


def test_who_has_not_sent_all_does_not_keep_the_connection() -> None:
    sent = asyncio.run(_raw("/deaf", _never_ends, "GET"))
    assert sent[0]["status"] == 200
    assert (b"connection", b"close") in sent[0]["headers"]


def _connected(place: Place) -> socket.socket:
    at = urlsplit(place.url)
    assert at.hostname is not None
    assert at.port is not None
    return socket.create_connection((at.hostname, at.port), timeout=20)


def _head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", *lines, "", ""]).encode()


@pytest.mark.parametrize("path", ["/v1/models", "/v1/uploads", "/v1/nothing"])
def test_the_body_of_an_unauthenticated_caller_is_not_waited_for(place: Place, path: str) -> None:
    """Only the head is sent: the answer and the end of the connection come without a body."""
    for lines in (["content-length: 999999"], ["transfer-encoding: chunked"]):
        for who in ([], ["authorization: Bearer nobody"]):
            with _connected(place) as line:
                line.sendall(_head(path, *lines, *who))
                answer = b"".join(iter(lambda: line.recv(65536), b""))
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert head.startswith(b"http/1.1 401"), head
            assert b"www-authenticate:" in head


def test_the_control_plane_takes_no_body_without_bounds(place: Place) -> None:
    place.tenant("wide")
    body = b'{"identifier":"' + b"x" * MAX_BODY + b'"}'
    with place.client("wide", "officer") as officer:
        for content in (body, iter([body[:MAX_BODY], body[MAX_BODY:]])):
            with pytest.raises(CommandFailed) as refused:
                officer.send("POST", "/v1/subjects/lookup", content=content)
            assert refused.value.problem["status"] == 413
