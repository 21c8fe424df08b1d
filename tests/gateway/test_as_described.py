"""The layer that holds answers to the document sees what is not in it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, Response

from tests.gateway.as_described import Answered, AsDescribed, document_of, faults
from tests.gateway.web.in_process import call

ANSWER: dict[str, Any] = {
    "200": {
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["live"]}},
        }
    }
}
DOCUMENT: dict[str, Any] = {"paths": {"/live": {"get": {"responses": ANSWER}}}, "components": {}}


@pytest.mark.parametrize(
    ("method", "status", "kind", "body", "fault"),
    [
        ("GET", "200", "application/json", b'{"live": true}', ""),
        ("HEAD", "200", "", b"", ""),
        ("GET", "200", "application/json", b"{}", "'live' is a required property"),
        ("GET", "200", "text/plain", b"yes", "there is no such content type"),
        ("GET", "418", "application/json", b"{}", "there is no such status"),
        ("POST", "200", "application/json", b"{}", "there is no such operation"),
    ],
)
def test_what_is_not_in_the_document_is_told(
    method: str, status: str, kind: str, body: bytes, fault: str
) -> None:
    found = faults(Answered("/live", method, status, kind), [body], DOCUMENT)
    assert found == ([fault] if fault else [])


@pytest.mark.e2e
def test_every_answer_is_seen() -> None:
    app = FastAPI()
    seen = AsDescribed(app)

    @app.get("/live/{name}")
    def live(name: str) -> dict[str, bool]:
        return {"live": True}

    @app.get("/odd")
    def odd() -> Response:
        return Response("no", 418, media_type="text/plain")

    assert document_of(app)
    assert call(seen, "GET", "/live/a").status_code == 200
    assert call(seen, "GET", "/odd").status_code == 418
    assert sorted(answered.path for answered in seen.seen) == ["/live/{name}", "/odd"]
