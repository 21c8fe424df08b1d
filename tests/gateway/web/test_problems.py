from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp

from audit.errors import AuditError
from gateway.errors import Forbidden, NotFound, SealgateError
from gateway.inference.errors import TooManyRequests, UnsupportedEncoding
from gateway.web.boundary import Boundary
from gateway.web.problems import STATUS, install_problems, problem_of
from gateway.web.request_ids import request_id_of
from policies.errors import PolicyError
from tests.gateway.web.in_process import call

SCOPE = {"type": "http", "path": "/v1/things"}
REQUEST_ID = "00000000-0000-7000-8000-000000000001"
OF_NO_DOOR = ("tests", "gateway.grpc", "gateway.backup")
"""Modules whose errors never reach a caller, or have a table of their own."""
PARTS = ("identity", "artifacts", "screening", "inference", "registry", "federation", "storage")


def every(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from every(child)


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    for part in PARTS:
        importlib.import_module(f"gateway.{part}.errors")
    codes = {
        str(vars(error)["code"])
        for base in (SealgateError, AuditError, PolicyError)
        for error in every(base)
        if "code" in vars(error) and not error.__module__.startswith(OF_NO_DOOR)
    }
    of_the_framework = {"method_not_allowed", "http_error", "head_timeout", "head_too_large"}
    assert codes | of_the_framework == set(STATUS)


def test_a_fault_tells_nothing() -> None:
    status, _, body = problem_of(ValueError("the payload was 123-45-6789"), SCOPE)
    assert status == 500
    assert b"123-45" not in body


def test_a_refusal_names_its_policies() -> None:
    assert orjson.loads(problem_of(Forbidden(("acme/owners",)), SCOPE)[2])["policy_ids"] == [
        "acme/owners"
    ]


def test_a_recorded_refusal_names_its_place_in_the_log() -> None:
    refusal = NotFound()
    refusal.receipt = "audit.example/acme/7"
    assert (b"sealgate-audit", b"audit.example/acme/7") in problem_of(refusal, SCOPE)[1]
    assert b"sealgate-audit" not in dict(problem_of(NotFound(), SCOPE)[1])


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int


@pytest.fixture
def app() -> ASGIApp:
    app = FastAPI()
    install_problems(app, SealgateError)

    @app.post("/orders")
    def order(_: Order) -> None:
        raise NotFound

    @app.get("/fault")
    def fault() -> None:
        raise ValueError("secret")

    @app.post("/named")
    def named(request: Request) -> str:
        return request_id_of(request.scope)

    return Boundary(app, lambda: REQUEST_ID)


@pytest.mark.parametrize(
    "sent", [{"count": "s3cret"}, {"count": 1, "s3cret": 1}, {"s3cret": {"s3cret": "s3cret"}}]
)
def test_a_request_that_does_not_fit_is_not_echoed(app: ASGIApp, sent: object) -> None:
    answer = call(app, "POST", "/orders", json=sent)
    assert answer.status_code == 422
    assert "s3cret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/invalid-request")


def test_errors_become_problems(app: ASGIApp) -> None:
    assert call(app, "POST", "/orders", json={"count": 1}).json()["status"] == 404
    assert call(app, "GET", "/nowhere").json()["status"] == 404
    assert call(app, "GET", "/orders").json()["status"] == 405


def test_an_unforeseen_fault_is_a_bare_500(app: ASGIApp) -> None:
    answer = call(app, "GET", "/fault")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_below_v2_the_detail_is_an_error_too() -> None:
    for path, told in (("/v2", True), ("/v2/models/m", True), ("/v1/x", False), ("/v2x", False)):
        body = orjson.loads(problem_of(NotFound(), {"type": "http", "path": path})[2])
        assert body.get("error") == (body["detail"] if told else None), path


def test_every_answer_names_its_request(app: ASGIApp) -> None:
    for path in ("/orders", "/nowhere", "/fault", "/named"):
        answer = call(app, "POST", path, json={})
        assert answer.headers["sealgate-request-id"] == REQUEST_ID
        if answer.is_error:
            assert answer.json()["request_id"] == REQUEST_ID
    assert call(app, "POST", "/named").json() == REQUEST_ID


def test_a_caller_cannot_choose_the_id_of_its_request(app: ASGIApp) -> None:
    chosen = {"sealgate-request-id": "mine", "x-request-id": "mine"}
    assert call(app, "POST", "/named", headers=chosen).json() == REQUEST_ID


def test_what_is_logged_of_a_request_names_it(app: ASGIApp) -> None:
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as lines:
        call(app, "GET", "/fault")
    assert lines == [
        {
            "event": "request_failed",
            "fault": "ValueError",
            "log_level": "error",
            "request_id": REQUEST_ID,
        }
    ]
    assert structlog.contextvars.get_contextvars() == {}


def test_another_method_is_told_all_that_there_are() -> None:
    app = FastAPI()
    install_problems(app, SealgateError)
    for method in ("GET", "POST"):
        app.add_api_route("/things/{name}", lambda name: name, methods=[method])
    answer = call(app, "PUT", "/things/a")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


def test_a_refused_coding_is_told_which_ones_are_read() -> None:
    _, headers, _ = problem_of(UnsupportedEncoding(), SCOPE)
    assert (b"accept-encoding", b"gzip, deflate") in headers


def test_retry_after_is_when_it_will_be_well_again() -> None:
    """It was always 1, whatever was waited for."""

    def told(error: Exception) -> list[bytes]:
        return [value for name, value in problem_of(error, SCOPE)[1] if name == b"retry-after"]

    assert told(TooManyRequests.for_rate(59.2)) == [b"60"]
    assert told(TooManyRequests.for_rate(0.01)) == [b"1"]
    assert told(TooManyRequests()) == [b"1"]
    assert told(UnsupportedEncoding()) == []
    detail = orjson.loads(problem_of(TooManyRequests.for_rate(59.2), SCOPE)[2])["detail"]
    assert detail == "the rate limit of this client is used up; try again in 60 s"


def test_what_does_not_say_otherwise_is_not_stored() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"cache-control", b"public")] if scope["path"] == "/known" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a secret"})

    guarded = Boundary(app, lambda: "id")
    assert call(guarded, "GET", "/made").headers["cache-control"] == "no-store"
    assert call(guarded, "GET", "/known").headers["cache-control"] == "public"
