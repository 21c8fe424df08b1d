"""Requests that two readers could understand differently, at the routes of `/v1` and `/v2`."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import StrictBool

from gateway.errors import SealgateError
from gateway.web import (
    administration,
    artifacts,
    audit,
    batches,
    federations,
    jobs,
    models,
    policies,
    reasons,
    subjects,
    uploads,
)
from gateway.web.bodies import Body
from gateway.web.problems import install_problems
from gateway.web.strict_route import StrictRoute
from tests.gateway.web.in_process import call

PARTS = (
    administration,
    artifacts,
    audit,
    batches,
    federations,
    jobs,
    models,
    policies,
    reasons,
    subjects,
    uploads,
)


class Standing(Body):
    suspended: StrictBool


def application() -> FastAPI:
    router = APIRouter(route_class=StrictRoute)

    @router.put("/standing")
    def standing(body: Standing) -> dict[str, bool]:
        return {"suspended": body.suspended}

    @router.get("/list")
    def listed(after: str = "", limit: int = 1) -> dict[str, Any]:
        return {"after": after, "limit": limit}

    app = FastAPI()
    install_problems(app, SealgateError)
    app.include_router(router)
    return app


def put(text: bytes) -> tuple[int, Any]:
    headers = {"content-type": "application/json"}
    answer = call(application(), "PUT", "/standing", content=text, headers=headers)
    return answer.status_code, answer.json()


def test_a_body_is_read() -> None:
    assert put(b'{"suspended": true}') == (200, {"suspended": True})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"suspended": true, "suspended": false}', "twice"),
        (b'{"suspended": -0}', "-0"),
        (b'{"suspended": 1e999}', "too large"),
        (b'{"suspended"', "not JSON"),
        (b'{"suspended": "MARKER" "MARKER"}', "not JSON"),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_refused_with_the_reason(
    text: bytes, why: str
) -> None:
    status, problem = put(text)
    assert status == 422
    assert why in problem["detail"]
    assert "MARKER" not in str(problem)


@pytest.mark.parametrize("text", [b'{"suspended": 0}', b'{"suspended": "no"}', b"", b"[]"])
def test_a_flag_is_true_or_false_and_nothing_like_it(text: bytes) -> None:
    assert put(text)[0] == 422


def test_a_query_parameter_given_twice_is_refused() -> None:
    assert call(application(), "GET", "/list?after=a&limit=2").json() == {"after": "a", "limit": 2}
    answer = call(application(), "GET", "/list?limit=2&after=&limit=3")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "a query parameter is given twice",
    )


@pytest.mark.parametrize("query", ["after=%C3%A9", "after=%F0%9F%94%92", "after=%FF", "%C3%A9=1"])
def test_a_query_need_not_be_ascii(query: str) -> None:
    assert call(application(), "GET", f"/list?{query}").status_code == 200
    twice = call(application(), "GET", f"/list?{query}&{query}")
    assert (twice.status_code, twice.json()["title"]) == (422, "invalid request")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_route_of_the_api_is_strict(part: Any) -> None:
    routes = [route for route in part.router.routes if isinstance(route, APIRoute)]
    assert routes
    assert all(isinstance(route, StrictRoute) for route in routes)
