"""The OAuth endpoints: thin, bounded, and silent until the event is recorded.

1. A form is read up to a bound and a deadline, as `application/x-www-form-urlencoded` only. A field
   or header that is repeated is refused (RFC 6749 section 3.2).
2. What blocks runs in a thread.
3. The event is recorded before a single byte of the answer: if that fails there is no token. It is
   recorded before a code or a refresh token is spent for it, too: who tries again is no thief.
4. Answers about tokens are never cached and never set a cookie.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gateway.errors import EvidenceUnavailable, LimitReached
from gateway.identity.authenticate import PROTECTED_RESOURCE_PATH
from gateway.identity.authorization_server import AuthorizationServer, Revocation, TokenEvent
from gateway.identity.client_authentication import Connection
from gateway.identity.errors import OAuthRefusal
from gateway.identity.introspection import INTROSPECTION_PATH
from gateway.identity.metadata import (
    DEVICE_PATH,
    JWKS_PATH,
    PUSH_PATH,
    REVOCATION_PATH,
    SERVER_METADATA_PATH,
    server_metadata,
)
from gateway.identity.token_grant import TOKEN_PATH
from gateway.origins import group_of
from gateway.people.consent import Consents
from gateway.people.devices import Devices
from gateway.people.endings import Endings
from gateway.people.tokens import GRANTS, PersonTokens
from gateway.web.client_certificates import certificate_of
from gateway.web.oauth_operations import (
    DEVICE,
    INTROSPECT,
    KEYS,
    PUSH,
    RESOURCE,
    REVOKE,
    SERVER,
    TOKEN,
)
from gateway.web.problems import note_code

MAX_FORM: Final = 16_384
"""Bytes of a form: an assertion has at most 11,000."""
MAX_FIELDS: Final = 32
"""Fields of a form: the protocols here know under ten."""
FORM_SECONDS: Final = 10.0
"""Longest wait for a form to arrive."""
METADATA_SECONDS: Final = 300
"""How long clients may keep metadata and keys: less than a key rotation's overlap."""


@dataclass(frozen=True, slots=True)
class OfPeople:
    """What answers requests about people.

    Attributes:
        tokens: Exchanges codes and refresh tokens.
        consents: Takes pushed requests.
        devices: Begins sign-ins of devices.
        endings: Ends sign-ins.
    """

    tokens: PersonTokens
    consents: Consents
    devices: Devices
    endings: Endings


class Evidence(Protocol):
    """Makes what happens to tokens durable; when it raises, the outcome is withheld."""

    async def record(self, event: TokenEvent) -> None:
        """Record that a token was issued or refused."""

    def revoke(self, revocation: Revocation) -> None:
        """Carry a revocation out, its intent and its result recorded. Blocks."""


_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build_router(
    server: AuthorizationServer,
    resource: Callable[[], Mapping[str, Any]],
    evidence: Evidence,
    count: Callable[[str, str], None] = lambda _outcome, _reason: None,
    *,
    people: OfPeople | None = None,
) -> APIRouter:
    """Build the routes of the authorization server and the two well-known documents.

    Args:
        server: The embedded authorization server.
        resource: Returns the protected resource metadata, see `gateway.identity.metadata`.
        evidence: Records what happens to tokens, before the answer leaves.
        people: Answers what is about people; None where there are none.
        count: Told how a request ended (`issued`, `revoked`, `refused`), and the OAuth error code.
    """
    router = APIRouter(tags=["OAuth"])
    endpoints = _Endpoints(server, evidence, count, people)
    router.add_api_route(TOKEN_PATH, endpoints.token, methods=["POST"], **TOKEN)
    if people is not None:
        asking = _PersonEndpoints(people, endpoints.refused)
        router.add_api_route(PUSH_PATH, asking.push, methods=["POST"], **PUSH)
        router.add_api_route(DEVICE_PATH, asking.device, methods=["POST"], **DEVICE)
    router.add_api_route(REVOCATION_PATH, endpoints.revoke, methods=["POST"], **REVOKE)
    router.add_api_route(INTROSPECTION_PATH, endpoints.introspect, methods=["POST"], **INTROSPECT)
    metadata = server_metadata(
        server.issuer,
        server.profile,
        certificates=server.certificates,
        people=people is not None,
    )
    _add_document(router, JWKS_PATH, lambda: server.jwks, KEYS)
    _add_document(router, SERVER_METADATA_PATH, lambda: metadata, SERVER)
    _add_document(router, PROTECTED_RESOURCE_PATH, resource, RESOURCE)
    return router


class _Endpoints:
    def __init__(
        self,
        server: AuthorizationServer,
        evidence: Evidence,
        count: Callable[[str, str], None],
        people: OfPeople | None,
    ) -> None:
        self._server = server
        self._people = people
        self._evidence = evidence
        self._count = count

    async def token(self, request: Request) -> Response:
        """Issue an access token (RFC 6749 section 4.4, RFC 9449 section 5)."""
        try:
            form = await _form(request)
            people = self._people if form.get("grant_type") in GRANTS else None
            answer = await run_in_threadpool(
                (people.tokens if people else self._server).token_response,
                form,
                _single(request, "authorization"),
                _single(request, "dpop"),
                _connection(request),
            )
            await self._record(answer.event)
            if answer.then is not None:  # nothing was spent so far: without a log one tries again
                answer = await run_in_threadpool(answer.then)
                await self._record(answer.event)
        except (OAuthRefusal, EvidenceUnavailable) as refusal:
            return self.refused(request, refusal)
        if answer.refusal is not None:
            return self.refused(request, answer.refusal)
        self._count("issued", "ok")
        return Response(orjson.dumps(answer.body), 200, _NO_STORE, "application/json")

    async def _record(self, event: TokenEvent | None) -> None:
        if event is not None:
            async with _withheld():
                await self._evidence.record(event)

    async def revoke(self, request: Request) -> Response:
        """Revoke an access token of the client that asks (RFC 7009)."""
        try:
            form = await _form(request)
            authorization = _single(request, "authorization")
            connection = _connection(request)
            if await run_in_threadpool(self._end_refresh, form, authorization, connection):
                self._count("revoked", "ok")
                return Response(b"", 200, _NO_STORE)
            revocation = await run_in_threadpool(
                self._server.read_revocation, form, authorization, connection
            )
            if revocation is not None:
                async with _withheld():
                    await run_in_threadpool(self._evidence.revoke, revocation)
        except (OAuthRefusal, EvidenceUnavailable) as refusal:
            return self.refused(request, refusal)
        self._count("revoked", "ok")
        return Response(b"", 200, _NO_STORE)

    async def introspect(self, request: Request) -> Response:
        """Tell a resource server of a tenant about a token that it was sent (RFC 7662)."""
        try:
            form = await _form(request)
            told = await run_in_threadpool(
                self._server.introspect,
                form,
                _single(request, "authorization"),
                _connection(request),
            )
        except OAuthRefusal as refusal:
            return self.refused(request, refusal)
        self._count("introspected", "ok")
        return Response(orjson.dumps(told), 200, _NO_STORE, "application/json")

    def _end_refresh(
        self, form: Mapping[str, str], authorization: bytes | None, connection: Connection
    ) -> bool:
        """End the sign-in of a refresh token; tell whether there is one of ours to end."""
        if self._people is None:
            return False
        known, sign_in = self._people.tokens.find_refresh(form, authorization, connection)
        if sign_in is not None:
            self._people.endings.end(sign_in)
        return known

    def refused(self, request: Request, refusal: OAuthRefusal | EvidenceUnavailable) -> Response:
        """Answer a refusal, counted."""
        answer, error = _refusal(refusal)
        self._count("refused", error)
        note_code(request.scope, error)
        return answer


class _PersonEndpoints:
    def __init__(
        self,
        people: OfPeople,
        refused: Callable[[Request, OAuthRefusal | EvidenceUnavailable], Response],
    ) -> None:
        self._people = people
        self._refused = refused

    async def push(self, request: Request) -> Response:
        """Take a request that a person is to be asked about (RFC 9126)."""
        try:
            form = await _form(request)
            _, body = await run_in_threadpool(
                self._people.consents.push,
                form,
                _single(request, "authorization"),
                _single(request, "dpop"),
                _connection(request),
            )
        except (OAuthRefusal, LimitReached) as refusal:
            if isinstance(refusal, LimitReached):
                refusal = OAuthRefusal("temporarily_unavailable", refusal.public)
            return self._refused(request, refusal)
        return Response(orjson.dumps(body), 201, _NO_STORE, "application/json")

    async def device(self, request: Request) -> Response:
        """Begin the sign-in of a device (RFC 8628)."""
        try:
            form = await _form(request)
            body = await run_in_threadpool(
                self._people.devices.begin,
                form,
                _single(request, "authorization"),
                _connection(request),
            )
        except OAuthRefusal as refusal:
            return self._refused(request, refusal)
        return Response(orjson.dumps(body), 200, _NO_STORE, "application/json")


@asynccontextmanager
async def _withheld() -> AsyncIterator[None]:
    """Whatever the recorder raises, the outcome must not leave without its evidence."""
    try:
        yield
    except Exception as fault:
        structlog.get_logger().error("token_event_unrecorded", reason=type(fault).__name__)
        raise EvidenceUnavailable from fault


async def _form(request: Request) -> dict[str, str]:
    """Read the form of a request.

    Raises:
        OAuthRefusal: It is no form, too large, too slow, malformed or repeats a field.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _FORM_TYPE:
        raise OAuthRefusal("invalid_request", "a form is required")
    try:
        async with asyncio.timeout(FORM_SECONDS):
            return parse_form(await _body(request))
    except (TimeoutError, ClientDisconnect) as cause:
        raise OAuthRefusal("invalid_request", "the form did not arrive") from cause


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise OAuthRefusal("invalid_request", "the form is too large")
    return bytes(body)


def parse_form(body: bytes) -> dict[str, str]:
    """Parse a form whose fields are all different.

    Raises:
        OAuthRefusal: It is malformed, not UTF-8, has too many fields or repeats one.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as cause:
        raise OAuthRefusal("invalid_request", "the form is malformed") from cause
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthRefusal("invalid_request", "a field is repeated")
    # RFC 6749 section 3.2: one that is sent without a value is as good as not sent.
    return {name: value for name, value in fields.items() if value}


def _connection(request: Request) -> Connection:
    # The address is the proxy's word where one is trusted, see `trusted_proxies`.
    origin = "" if request.client is None else group_of(request.client)
    return Connection(origin, certificate_of(request.scope))


def _single(request: Request, name: str) -> bytes | None:
    values = [v for n, v in request.scope["headers"] if n == name.encode()]
    if len(values) > 1:
        raise OAuthRefusal("invalid_request", "a header is repeated")
    return values[0] if values else None


def _refusal(refusal: OAuthRefusal | EvidenceUnavailable) -> tuple[Response, str]:
    """Return the answer of a refusal, and its error code (RFC 6749 section 5.2)."""
    headers = dict(_NO_STORE)
    if isinstance(refusal, EvidenceUnavailable):
        status, error = 503, "temporarily_unavailable"
        headers["Retry-After"] = refusal.retry_after
    else:
        status, error = 400, refusal.error
        if error == "invalid_client":
            status = 429 if refusal.retry_after else 401
            headers["WWW-Authenticate"] = 'Basic realm="sealgate"'
        if refusal.nonce:
            headers["DPoP-Nonce"] = refusal.nonce
        if refusal.retry_after:
            headers["Retry-After"] = refusal.retry_after
    body = orjson.dumps({"error": error, "error_description": refusal.public})
    return Response(body, status, headers, "application/json"), error


def _add_document(
    router: APIRouter, path: str, document: Callable[[], Mapping[str, Any]], said: Mapping[str, Any]
) -> None:
    headers = {"Cache-Control": f"public, max-age={METADATA_SECONDS}"}

    async def serve() -> Response:
        return Response(orjson.dumps(document()), 200, headers, "application/json")

    router.add_api_route(path, serve, methods=["GET"], **said)
