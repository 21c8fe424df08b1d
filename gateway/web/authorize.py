"""The page on which a person lets an application act for it, and the endpoint for pushed requests.

Safety argument:
1. What a client asks is in the address and again in the form; it is read anew when the form comes:
   what a page showed is what is granted, for the same words are read twice by one reader.
2. The way back to the application is a page with a link that the browser follows by itself: our
   policy for content lets no form be sent on to another origin (`form-action 'self'`).
3. Who is not signed in, or not strongly or recently enough, signs in and comes back to this
   address, which is ours whatever it says, with a stamp of when it was sent. Who will not is no
   dead end: the application is told (RFC 9470 section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from gateway.errors import InvalidRequest, SealgateError
from gateway.identity.errors import OAuthRefusal
from gateway.people.asking import Asked, NotAsked, answer_at
from gateway.people.browsers import Browsers, Here
from gateway.people.consent import Consents
from gateway.web import forms
from gateway.web.person_pages import AUTHORIZE, CONFIRM, SIGN_IN, WITHOUT, Visit, sent_on, told

STAMP: Final = "&sealgate_asked="
"""Before our own stamp, which says when the person was sent to sign in."""
MAX_QUERY: Final = 4096
"""Characters of a request in an address; browsers and proxies take some thousand."""
SCOPES: Final = {
    "infer": "ask models",
    "models": "publish and release models",
    "artifacts": "upload and download model files",
    "audit": "read and export the audit log",
    "policies": "change policies",
    "admin": "administer the platform",
    "federate": "run federated training",
}
"""What each scope lets an application do, for people."""


@dataclass(frozen=True, slots=True)
class AuthorizeDoor:
    """What the page needs.

    Attributes:
        consents: Reads requests and makes codes.
        browsers: Knows who is signed in with a browser.
        origin: Ours.
    """

    consents: Consents
    browsers: Browsers
    origin: str


def build_router(door: AuthorizeDoor) -> APIRouter:
    """Build the routes of the page."""
    page = _Page(door)
    router = APIRouter(include_in_schema=False)
    router.add_api_route(AUTHORIZE, page.show, methods=["GET"], response_model=None)
    router.add_api_route(AUTHORIZE, page.decide, methods=["POST"], response_model=None)
    return router


def read_query(text: str) -> dict[str, str]:
    """Read the parameters of an authorization request.

    Raises:
        InvalidRequest: They are malformed, too long, or one is repeated.
    """
    if len(text) > MAX_QUERY:
        raise InvalidRequest("the request is too long: push it (RFC 9126)")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError as cause:
        raise InvalidRequest("the request is malformed") from cause
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequest("a parameter is repeated")
    return fields


class _Page:
    def __init__(self, door: AuthorizeDoor) -> None:
        self._door = door

    async def show(self, request: Request) -> Response:
        """Ask the person who is signed in; or ask it to sign in first."""
        visit, whole = Visit(request), request.scope["query_string"].decode("latin-1")
        query, stamp, without = _taken_apart(whole)
        try:
            asking = read_query(query)
            asked = await run_in_threadpool(self._door.consents.read, asking)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
        except NotAsked as refusal:
            return self._back(visit, self._refusal(refusal))
        except SealgateError as refusal:
            return told(visit, refusal)
        consents = self._door.consents
        since = consents.stamped(query, stamp)
        if here is None or not consents.is_enough(asked, here.sign_in, since):
            weak = here is not None and here.sign_in.acr < asked.acr
            if weak and without:
                return self._back(visit, self._refusal(_unmet(asked)))
            again = f"{query}{STAMP}{stamp if since else consents.stamp(query)}"
            return sent_on(f"{CONFIRM if weak else SIGN_IN}?{urlencode({'then': again})}")
        if not self._door.consents.serves(asked, here):
            return told(visit, InvalidRequest("this application is not for your organisation"))
        return self._ask(visit, asked, here, f"{query}{STAMP}{stamp}" if since else query)

    async def decide(self, request: Request) -> Response:
        """Take the person's decision, and tell the application."""
        visit = Visit(request)
        try:
            fields = await forms.read_form(request, self._door.origin)
            here = await run_in_threadpool(self._door.browsers.here, visit.sign_in)
            if here is None:
                return sent_on(SIGN_IN)
            query, stamp, _ = _taken_apart(fields.get("request", ""))
            asking = read_query(query)
            consents = self._door.consents
            if fields.get("decision") == "allow":
                address = await run_in_threadpool(
                    consents.allow, asking, here, consents.stamped(query, stamp)
                )
            else:
                address = await run_in_threadpool(consents.deny, asking)
        except NotAsked as refusal:
            return self._back(visit, self._refusal(refusal))
        except SealgateError as refusal:
            return told(visit, refusal)
        return self._back(visit, address)

    def _ask(self, visit: Visit, asked: Asked, here: Here, query: str) -> Response:
        client = asked.client
        return visit.show(
            "consent",
            client=client.name,
            client_id=client.id,
            owner=client.tenant,
            goes_to=_place(asked.redirect_uri),
            tenant=here.person.tenant,
            scopes=[(scope, SCOPES[scope]) for scope in sorted(asked.scopes)],
            request=query,
        )

    def _refusal(self, refusal: NotAsked) -> str:
        told_so = {"error": refusal.error, "error_description": refusal.public}
        issuer = self._door.consents.issuer
        return answer_at(refusal.redirect_uri, issuer, refusal.state, told_so)

    def _back(self, visit: Visit, address: str) -> Response:
        return visit.show("back", address=address, goes_to=_place(address))


def _taken_apart(query: str) -> tuple[str, str, bool]:
    """Return what a client asked, our stamp, and whether the person goes on without a passkey."""
    rest = query.removesuffix(WITHOUT)
    asked, _, stamp = rest.partition(STAMP)
    return asked, stamp, rest != query


def _unmet(asked: Asked) -> NotAsked:
    why = "the person did not sign in as strongly as `acr_values` asks"
    refusal = OAuthRefusal("unmet_authentication_requirements", why)
    return NotAsked(refusal, asked.redirect_uri, asked.state)


def _place(address: str) -> str:
    """Return where an address leads, as a person can check it."""
    parts = urlsplit(address)
    return parts.netloc or f"{parts.scheme}: (an application on this device)"
