from __future__ import annotations

import pytest
from fastapi import FastAPI

from gateway.web.api_page import Pages
from gateway.web.description import describe
from tests.gateway.web.in_process import call


@pytest.mark.e2e
def test_the_page_lists_every_route_and_loads_nothing() -> None:
    app = FastAPI(title="<b>sealgate", openapi_url=None)
    app.include_router(Pages(lambda: describe(app.openapi(), "urn:here")).router())

    @app.get("/v1/things", tags=["things"])
    def things() -> None:
        """List <script>things</script>."""

    answer = call(app, "GET", "/docs")
    assert "/v1/things" in answer.text
    assert "401: Unauthenticated" in answer.text
    assert "<script" not in answer.text
    assert "<b>" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http" not in answer.text.replace("/docs", "")
    assert call(app, "GET", "/openapi.json").json()["paths"]["/v1/things"]
