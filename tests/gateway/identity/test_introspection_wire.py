"""Questions about opaque tokens over a real socket."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from gateway.errors import ConfigurationError
from gateway.identity.errors import IssuerUnavailable
from gateway.identity.fetching import MAX_ANSWER, post_form
from gateway.identity.trust import IntrospectionTrust

from .answering import AnsweringIssuer
from .test_opaque_tokens import ACTIVE, TOKEN, Asked


@pytest.fixture
def issuer() -> Iterator[AnsweringIssuer]:
    with AnsweringIssuer().running() as running:
        yield running


def over_the_wire(issuer: AnsweringIssuer, tmp_path: Path) -> Any:
    async def post(url: str, form: bytes, authorization: bytes) -> tuple[int, bytes]:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            return await post_form(client, url, form, authorization)

    asked = Asked(
        tmp_path,
        introspection=IntrospectionTrust(
            issuer.url + "/introspect", "gate way", tmp_path / "secret"
        ),
    )
    asked.post = post  # type: ignore[method-assign]
    asked.secret.write_text("p+ss:w/rd")
    asked.world.issuers.replace([])
    asked.world.issuers.replace([asked.trust])
    return asked.call


def test_the_question_is_that_of_the_standard(issuer: AnsweringIssuer, tmp_path: Path) -> None:
    issuer.answers(json.dumps(ACTIVE).encode())
    assert over_the_wire(issuer, tmp_path)(b"opaque+token/123==").client_id == "service"
    [(headers, body)] = issuer.questions
    assert parse_qs(body.decode(), strict_parsing=True) == {
        "token": ["opaque+token/123=="],
        "token_type_hint": ["access_token"],
    }
    kind, _, pair = headers["authorization"].partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(pair) == b"gate+way:p%2Bss%3Aw%2Frd"
    assert headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b'{"active": true}' + b" " * MAX_ANSWER, 200, {}),
        (b"", 302, {"Location": "/introspect"}),
        (b"<html>", 200, {}),
        (b'{"active": true, "active": false}', 200, {}),
    ],
    ids=["huge", "redirect", "html", "twice"],
)
def test_what_is_no_answer_is_none(
    issuer: AnsweringIssuer, tmp_path: Path, body: bytes, status: int, headers: dict[str, str]
) -> None:
    issuer.answers(body, status, headers)
    with pytest.raises(IssuerUnavailable):
        over_the_wire(issuer, tmp_path)(TOKEN)
    assert len(issuer.questions) == 1


@pytest.mark.parametrize(
    "endpoint",
    ["http://issuer.example/i", "file:///etc/passwd", "https://u:p@issuer.example/i", "ftp://x"],
)
def test_an_endpoint_where_a_secret_would_cross_a_network_in_clear_is_refused(
    tmp_path: Path, endpoint: str
) -> None:
    with pytest.raises(ConfigurationError):
        IntrospectionTrust(endpoint, "gateway", tmp_path / "secret")
    for changes in ({"seconds": 0}, {"seconds": 301}, {"client_id": ""}):
        made: dict[str, Any] = {"client_id": "g", "seconds": 30, **changes}
        with pytest.raises(ConfigurationError):
            IntrospectionTrust(None, made["client_id"], tmp_path / "s", made["seconds"])
