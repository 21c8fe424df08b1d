"""Log lines of requests over HTTP, as the outermost layer of a door writes them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway.errors import NotFound, SealgateError
from gateway.request_lines import RequestLines
from gateway.web.authenticated import _KEY
from gateway.web.boundary import Boundary
from gateway.web.problems import install_problems
from tests.gateway.parts import call as call_of
from tests.gateway.web.in_process import call

REQUEST_ID = "00000000-0000-7000-8000-000000000001"
SECRET = "Marta-Example-1971"


class Desk:
    def __init__(self, share: Any = "all") -> None:
        self.written: list[str] = []
        self.now = 0.0
        self.lines = RequestLines(
            self.written.append, clock=lambda: 0.0, monotonic=lambda: self.now
        )
        self.lines.set("info", share)

    def guard(self, app: ASGIApp) -> Boundary:
        return Boundary(app, lambda: REQUEST_ID, lines=self.lines, door="public")

    def told(self) -> list[dict[str, Any]]:
        self.lines.flush()
        found = [json.loads(line) for text in self.written for line in text.splitlines()]
        self.written.clear()
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def app(desk: Desk) -> Boundary:
    app = FastAPI()
    install_problems(app, SealgateError)

    @app.get("/things/{name}")
    def thing(name: str) -> str:
        desk.now += 0.25
        return "found"

    @app.post("/things/{name}")
    def absent(name: str) -> None:
        raise NotFound

    @app.get("/fault")
    def fault() -> None:
        raise ValueError(SECRET)

    return desk.guard(app)


def test_what_is_served_is_told_with_its_time_and_size(desk: Desk, app: Boundary) -> None:
    call(app, "GET", f"/things/{SECRET}?q={SECRET}", headers={"x-n": SECRET})
    (line,) = desk.told()
    assert SECRET not in str(line)
    assert line["route"] == "/things/{name}"
    assert (line["status"], line["duration_ms"], line["bytes"]) == (200, 250.0, 7)
    assert (line["method"], line["door"], line["request_id"]) == ("GET", "public", REQUEST_ID)


@pytest.mark.parametrize(
    ("method", "path", "status", "route", "problem"),
    [
        ("POST", f"/things/{SECRET}", 404, "/things/{name}", "not_found"),
        ("GET", f"/{SECRET}", 404, None, "not_found"),
        ("PUT", f"/things/{SECRET}", 405, "/things/{name}", "method_not_allowed"),
        ("GET", "/fault", 500, "/fault", "internal"),
        ("GET", f"/%0d%0a%1b%5b31m%00{SECRET}", 404, None, "not_found"),
    ],
)
def test_what_is_refused_is_told_with_its_reason(
    desk: Desk, app: Boundary, method: str, path: str, status: int, route: str, problem: str
) -> None:
    call(app, method, path)
    (line,) = desk.told()
    assert (line["status"], line["route"], line["problem"]) == (status, route, problem)
    assert SECRET not in str(line)


def test_a_method_that_nobody_knows_is_not_repeated(desk: Desk, app: Boundary) -> None:
    call(app, SECRET.upper(), "/things/a")
    (line,) = desk.told()
    assert line["method"] == "_OTHER"


def test_the_tenant_is_told_where_it_is_known(desk: Desk) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/recorded":
            headers = [(b"sealgate-audit", b"audit.example/eu/rival/3")]
        else:
            scope[_KEY] = call_of("owner").principal
            headers = []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})

    guarded = desk.guard(app)
    call(guarded, "GET", "/recorded")
    call(guarded, "GET", "/known")
    told = desk.told()
    assert [line["tenant"] for line in told] == ["rival", "acme"]
    assert told[0]["audit"] == "audit.example/eu/rival/3"
    assert "audit" not in told[1]
    assert {line["bytes"] for line in told} == {3}


def test_who_hangs_up_is_told_as_gone(desk: Desk) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        """It answers nobody."""

    async def scenario() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            raise AssertionError

        await desk.guard(app)(scope, receive, send)

    asyncio.run(scenario())
    assert [line["status"] for line in desk.told()] == [0]


def test_only_what_was_not_served_is_told_where_errors_are_asked_for() -> None:
    desk = Desk("errors")
    app = FastAPI()
    install_problems(app, SealgateError)
    app.add_api_route("/known", lambda: "yes")
    guarded = desk.guard(app)
    call(guarded, "GET", "/known")
    call(guarded, "GET", "/unknown")
    assert [line["status"] for line in desk.told()] == [404]
