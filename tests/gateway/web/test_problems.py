from __future__ import annotations

import importlib
from collections.abc import Iterator

import orjson
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp

from audit.errors import AuditError
from gateway.errors import Forbidden, NotFound, SealgateError
from gateway.web.problems import STATUS, Boundary, install_problems, problem_of
from policies.errors import PolicyError
from tests.gateway.web.in_process import call

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
        if "code" in vars(error) and not error.__module__.startswith("tests")
    }
    of_the_framework = {"method_not_allowed", "http_error"}
    assert codes | of_the_framework == set(STATUS)


def test_a_fault_tells_nothing() -> None:
    status, _, body = problem_of(ValueError("the payload was 123-45-6789"))
    assert status == 500
    assert b"123-45" not in body


def test_a_refusal_names_its_policies() -> None:
    assert orjson.loads(problem_of(Forbidden(("acme/owners",)))[2])["policy_ids"] == ["acme/owners"]


def test_a_recorded_refusal_names_its_place_in_the_log() -> None:
    refusal = NotFound()
    refusal.receipt = "audit.example/acme/7"
    assert (b"sealgate-audit", b"audit.example/acme/7") in problem_of(refusal)[1]
    assert b"sealgate-audit" not in dict(problem_of(NotFound())[1])


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

    return Boundary(app)


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
