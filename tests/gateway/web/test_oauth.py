from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.authorization_server import Revocation, TokenEvent
from gateway.identity.errors import InvalidToken, OAuthRefusal
from gateway.identity.metadata import resource_metadata
from gateway.web.oauth import MAX_FIELDS, MAX_FORM, build_router, parse_form
from tests.gateway.identity.fakes import ED25519, URL, World, assertion, basic, proof

FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


class Evidence:
    """Keeps events and revokes with the real authority, or does what a test wants instead."""

    def __init__(
        self,
        world: World,
        on_event: Callable[[TokenEvent], Any],
        on_revoke: Callable[[Revocation], None] | None = None,
    ) -> None:
        self._world = world
        self._on_event = on_event
        self._on_revoke = on_revoke or self._revoke

    async def record(self, event: TokenEvent) -> None:
        recorded = self._on_event(event)
        if inspect.isawaitable(recorded):
            await recorded

    def revoke(self, revocation: Revocation) -> None:
        self._on_revoke(revocation)

    def _revoke(self, revocation: Revocation) -> None:
        claims = revocation.claims
        self._world.server.revoke(claims.issuer, claims.token_id, claims.expires)


class Site:
    """The routes of the authorization server in an application of their own."""

    def __init__(
        self,
        on_event: Callable[[TokenEvent], Any] | None = None,
        revoke: Callable[[Revocation], None] | None = None,
    ) -> None:
        self.world = World()
        self.events: list[TokenEvent] = []
        self.app = FastAPI()
        resource = partial(resource_metadata, URL, self.world.issuers.names)
        evidence = Evidence(self.world, on_event or self.events.append, revoke)
        self.app.include_router(build_router(self.world.server, resource, evidence))

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                return await client.request(method, path, **request)

        return asyncio.run(sent())

    def post(self, path: str, body: Any, *headers: tuple[str, bytes]) -> httpx.Response:
        content = urlencode(body) if isinstance(body, dict) else body
        return self.send(
            "POST", path, content=content, headers=[("Content-Type", FORM.encode()), *headers]
        )

    def token(self, **form: str) -> httpx.Response:
        return self.post("/oauth/token", {**GRANT, **form}, ("Authorization", basic()))

    def accepts(self, token: str) -> bool:
        authorization = f"Bearer {token}".encode()
        try:
            asyncio.run(self.world.authenticator.authenticate(authorization, None, "GET", "/"))
        except InvalidToken:
            return False
        return True


def test_a_token_is_issued_and_recorded() -> None:
    site = Site()
    answer = site.token(scope="infer")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert site.accepts(answer.json()["access_token"])
    assert [(e.action, e.outcome) for e in site.events] == [("issueToken", "allow")]


def test_a_bound_token_over_http() -> None:
    site = Site()
    made = proof(ED25519, "POST", URL + "/oauth/token")
    answer = site.post("/oauth/token", assertion(ED25519), ("DPoP", made))
    assert answer.json()["token_type"] == "DPoP"


def test_the_host_header_decides_nothing() -> None:
    site = Site()
    made = proof(ED25519, "POST", "https://evil.example/oauth/token")
    answer = site.post(
        "/oauth/token", assertion(ED25519), ("DPoP", made), ("Host", b"evil.example")
    )
    assert answer.json()["error"] == "invalid_dpop_proof"


def test_a_refused_client_is_told_how_to_authenticate() -> None:
    site = Site()
    answers = [
        site.post("/oauth/token", GRANT, ("Authorization", basic(name, "wrong")))
        for name in ("service", "unknown")
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="sealgate"'
        assert answer.headers["cache-control"] == "no-store"
    assert answers[0].content == answers[1].content
    assert site.events == []


def test_a_refusal_of_a_known_client_is_recorded() -> None:
    site = Site()
    answer = site.token(scope="admin")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert [(e.outcome, e.reason) for e in site.events] == [("deny", "invalid_scope")]


def test_a_field_without_a_value_is_not_there() -> None:
    """RFC 6749, section 3.2: it MUST be treated as if it were omitted."""
    answer = Site().token(scope="", resource="", client_id="", client_secret="")
    assert answer.json()["scope"] == "infer models"


def test_issue_8_6_who_fails_too_often_is_told_when_to_try_again() -> None:
    site = Site()
    told = [
        site.post("/oauth/token", GRANT, ("Authorization", basic(name, "wrong")))
        for _ in range(22)
        for name in ("service", "unknown")
    ]
    assert {answer.status_code for answer in told[:40]} == {401}
    assert {answer.status_code for answer in told[40:]} == {429}
    assert {answer.headers["retry-after"] for answer in told[40:]} == {"3"}
    assert {answer.json()["error"] for answer in told} == {"invalid_client"}
    assert site.token().status_code == 200


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_token_that_cannot_be_recorded_is_not_given_out(asynchronous: bool) -> None:
    def fail(event: TokenEvent) -> None:
        raise OSError("the disk is full")

    async def fail_later(event: TokenEvent) -> None:
        await asyncio.sleep(0)
        fail(event)

    site = Site(fail_later if asynchronous else fail)
    for answer in (site.token(), site.token(scope="admin")):
        assert answer.status_code == 503
        assert answer.json()["error"] == "temporarily_unavailable"
        assert "access_token" not in answer.text
        assert "disk" not in answer.text


def test_an_event_is_recorded_before_the_answer_leaves() -> None:
    order: list[str] = []

    async def record(event: TokenEvent) -> None:
        await asyncio.sleep(0)
        order.append("recorded")

    site = Site(record)
    app = site.app

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            order.append(message["type"])
            await send(message)

        await app(scope, receive, sending)

    site.app = watched  # type: ignore[assignment]
    assert site.token().status_code == 200
    assert order[:2] == ["recorded", "http.response.start"]


def test_a_token_is_revoked_before_the_answer_leaves() -> None:
    site = Site()
    token = site.token().json()["access_token"]
    assert site.accepts(token)
    answer = site.post("/oauth/revoke", {"token": token}, ("Authorization", basic()))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not site.accepts(token)


def test_a_revocation_that_cannot_be_recorded_is_not_acknowledged() -> None:
    def fail(_: Revocation) -> None:
        raise OSError

    site = Site(revoke=fail)
    token = site.world.bearer()
    answer = site.post("/oauth/revoke", {"token": token}, ("Authorization", basic()))
    assert answer.status_code == 503
    assert site.accepts(token)


def test_revoking_what_is_not_ours_succeeds_and_someone_elses_does_not() -> None:
    site = Site()
    credential = ("Authorization", basic())
    assert site.post("/oauth/revoke", {"token": "nonsense"}, credential).status_code == 200
    answer = site.post("/oauth/revoke", {"token": site.world.bound()}, credential)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert site.post("/oauth/revoke", {"token": "x"}).status_code == 401
    assert site.events == []


def test_a_resource_server_asks_about_a_token() -> None:
    site = Site()
    token = site.token().json()["access_token"]
    credential = ("Authorization", basic())
    answer = site.post("/oauth/introspect", {"token": token}, credential)
    assert answer.json()["client_id"] == "service"
    assert answer.headers["cache-control"] == "no-store"
    other = site.post("/oauth/introspect", {"token": "x"}, credential)
    assert (other.status_code, other.json()) == (200, {"active": False})
    assert site.post("/oauth/introspect", {"token": token}).status_code == 401


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"grant_type",
        b"grant_type=client_credentials&grant_type=client_credentials",
        b"grant_type=%ff",
        b"grant_type=\xff",
        b"&&",
        b"a=" + b"x" * MAX_FORM,
        b"&".join(b"f%d=1" % n for n in range(MAX_FIELDS + 1)),
    ],
    ids=["empty", "no-value", "repeated", "not-utf-8", "not-ascii", "blank", "large", "many"],
)
def test_a_malformed_form_is_refused(path: str, body: bytes) -> None:
    answer = Site().post(path, body, ("Authorization", basic()))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_body_without_an_end_is_cut_off() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"a" * 4096

    answer = Site().post("/oauth/token", endless(), ("Authorization", basic()))
    assert answer.status_code == 400
    assert sent < 10


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "", "text/x"])
def test_only_a_form_is_read(content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = Site().send("POST", "/oauth/token", content=urlencode(GRANT), headers=headers)
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["Authorization", "DPoP"])
def test_a_repeated_header_is_refused(name: str) -> None:
    answer = Site().post("/oauth/token", GRANT, (name, basic()), (name, basic()))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
def test_a_token_is_never_asked_for_in_an_address(path: str) -> None:
    assert Site().send("GET", path, params=GRANT).status_code == 405


def test_the_documents() -> None:
    site = Site()
    served = {
        path: site.send("GET", path)
        for path in (
            "/oauth/jwks",
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-protected-resource",
        )
    }
    for answer in served.values():
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "public, max-age=300"
    keys, server, resource = (answer.json() for answer in served.values())
    assert keys == site.world.token_keys.jwks
    assert all("d" not in key for key in keys["keys"])
    assert server["jwks_uri"] == URL + "/oauth/jwks"
    assert resource["authorization_servers"] == [URL]
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        path = server[name].removeprefix(URL)
        assert site.post(path, b"x").status_code == 400
    assert site.send("GET", "/.well-known/openid-configuration").status_code == 404


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda t: urlencode({"a": t}).encode()))
def test_any_body_is_a_form_or_our_error(body: bytes) -> None:
    with contextlib.suppress(OAuthRefusal):
        assert all(type(value) is str for value in parse_form(body).values())
