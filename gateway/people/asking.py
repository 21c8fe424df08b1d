"""What a client asks a person for: an authorization request, read and checked. Pure.

1. Until client and redirect address are known to belong together nobody is sent anywhere: the
   person is told (RFC 9700 section 4.11). After that the client is told, at that address.
2. PKCE with S256 is a must for every client (RFC 7636, RFC 9700 section 2.1.1); `plain` is refused.
3. A client asks for scopes that it is registered for, of people of its own tenant; those of the
   platform's clients are anybody's.
4. An answer names who gives it (`iss`, RFC 9207).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from gateway.errors import InvalidRequest
from gateway.identity.errors import OAuthRefusal
from gateway.identity.records import Client
from gateway.identity.redirects import MAX_REDIRECT, is_redirect_of
from gateway.identity.token_grant import granted_scopes
from gateway.identity.tokens import LEVELS

MAX_STATE: Final = 512
"""Characters of `state`: libraries use some forty, frameworks that pack things into it more."""
MAX_AGE: Final = 2**31
RESPONSE_TYPE: Final = "code"
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")
_NUMBER: Final = re.compile(r"[0-9]{1,10}\Z")


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorization request that may be put to a person.

    Attributes:
        client: Who asks.
        redirect_uri: Where the answer goes.
        state: Comes back with it.
        challenge: Of PKCE, S256.
        scopes: What is asked for.
        max_age: Seconds since the person authenticated, at most; None: any.
        acr: Level of the authentication, at least.
        thumbprint: Of the key that the tokens are to be bound to (RFC 9449 section 10), or empty.
    """

    client: Client
    redirect_uri: str
    state: str
    challenge: str
    scopes: frozenset[str]
    max_age: int | None
    acr: int
    thumbprint: str

    def answer(self, issuer: str, **members: str) -> str:
        """Return the address that tells the client."""
        return answer_at(self.redirect_uri, issuer, self.state, members)


class NotAsked(OAuthRefusal):
    """The client is told at its redirect address that its request is not put to the person.

    Attributes:
        redirect_uri: That address.
        state: Comes back with it.
    """

    def __init__(self, refusal: OAuthRefusal, redirect_uri: str, state: str) -> None:
        super().__init__(refusal.error, refusal.public)
        self.redirect_uri = redirect_uri
        self.state = state


def answer_at(redirect_uri: str, issuer: str, state: str, members: Mapping[str, str]) -> str:
    """Return a redirect address with an answer (RFC 6749 section 4.1.2, RFC 9207)."""
    told = {**members, **({"state": state} if state else {}), "iss": issuer}
    joint = "&" if urlsplit(redirect_uri).query else "?"
    return f"{redirect_uri}{joint}{urlencode(told)}"


def read_redirect(form: Mapping[str, str], client: Client | None) -> str:
    """Return the redirect address of a request.

    Raises:
        InvalidRequest: The client is not known, or has not registered it: nobody is sent there.
    """
    if client is None:
        raise InvalidRequest("`client_id` names no application that may sign people in here")
    given = form.get("redirect_uri", "")
    if not given and len(client.redirect_uris) == 1:
        return client.redirect_uris[0]
    if len(given) > MAX_REDIRECT or not is_redirect_of(given, client.redirect_uris):
        raise InvalidRequest("`redirect_uri` is not one that the application has registered")
    return given


def read_asked(form: Mapping[str, str], client: Client | None, resource: str) -> Asked:
    """Read an authorization request.

    Args:
        form: Its parameters, none repeated.
        client: The registered client of `client_id`, or None.
        resource: The audience of our tokens.

    Raises:
        InvalidRequest: The person is to be told.
        NotAsked: The client is to be told.
    """
    redirect_uri = read_redirect(form, client)
    assert client is not None
    state = form.get("state", "")
    try:
        return _read(form, client, redirect_uri, state, resource)
    except OAuthRefusal as refusal:
        raise NotAsked(refusal, redirect_uri, state[:MAX_STATE]) from refusal


def _read(
    form: Mapping[str, str], client: Client, redirect_uri: str, state: str, resource: str
) -> Asked:
    if form.get("response_type") != RESPONSE_TYPE:
        raise OAuthRefusal("unsupported_response_type", "`response_type` must be `code`")
    if form.get("response_mode", "query") != "query":
        raise _invalid("`response_mode` must be `query`")
    if "request" in form:
        raise OAuthRefusal("request_not_supported", "push the request instead (RFC 9126)")
    if len(state) > MAX_STATE:
        raise _invalid("`state` is too long")
    challenge = form.get("code_challenge", "")
    if form.get("code_challenge_method") != "S256" or not _CHALLENGE.match(challenge):
        raise _invalid("PKCE is a must: `code_challenge` with `code_challenge_method=S256`")
    if form.get("resource", resource) != resource:
        raise OAuthRefusal("invalid_target", "the resource is not served here")
    if form.get("prompt") == "none":
        raise OAuthRefusal("interaction_required", "a person is asked each time")
    max_age, acr = read_level(form)
    if "login" in form.get("prompt", "").split(" "):
        max_age = 0
    thumbprint = form.get("dpop_jkt", "")
    if thumbprint and not _CHALLENGE.match(thumbprint):
        raise _invalid("`dpop_jkt` is no thumbprint of a key")
    return Asked(
        client=client,
        redirect_uri=redirect_uri,
        state=state,
        challenge=challenge,
        scopes=granted_scopes(client, form.get("scope")),
        max_age=max_age,
        acr=acr,
        thumbprint=thumbprint,
    )


def fits_challenge(verifier: str, challenge: str) -> bool:
    """Tell whether a verifier is the one of a challenge (RFC 7636 section 4.6)."""
    if not _VERIFIER.match(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())


def read_level(form: Mapping[str, str]) -> tuple[int | None, int]:
    """Return the greatest age and the least level of a sign-in that a client asks for (RFC 9470).

    Raises:
        OAuthRefusal: `max_age` is no number of seconds.
    """
    return _max_age(form.get("max_age")), _acr(form.get("acr_values"))


def _max_age(value: str | None) -> int | None:
    if value is None:
        return None
    if not _NUMBER.match(value) or int(value) > MAX_AGE:
        raise _invalid("`max_age` must be seconds")
    return int(value)


def _acr(value: str | None) -> int:
    """Return the lowest level that is good enough; of others' names none is asked for."""
    known = [int(one) for one in (value or "").split(" ") if one in LEVELS]
    return min(known, default=0)


def _invalid(message: str) -> OAuthRefusal:
    return OAuthRefusal("invalid_request", message)
