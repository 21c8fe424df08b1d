"""Applications that let people sign in: Authlib's client, and what a browser does for it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.integrations.requests_client import OAuth2Session

from tests.gateway.people.browser import Browser
from tests.gateway.place import Place

BACK = "http://127.0.0.1:4711/back"
VERIFIER = "v" * 64


def register(place: Place, client_id: str, **changes: Any) -> str | None:
    """Register a client of `acme` that acts for people; returns its secret."""
    body = {
        "id": client_id,
        "name": "The App",
        "tenant": "acme",
        "scopes": ["infer", "models"],
        "auth_method": "none",
        "token_binding": "none",
        "redirect_uris": ["http://127.0.0.1/back"],
    }
    with place.admin() as admin:
        made = admin.post("/v1/clients", body | changes)
    secret: str | None = made["client_secret"]
    return secret


@contextmanager
def application(place: Place, client_id: str, secret: str | None = None) -> Iterator[OAuth2Session]:
    """Authlib's client."""
    with OAuth2Session(
        client_id,
        secret,
        scope="infer",
        redirect_uri=BACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
    ) as made:
        yield made


def asking(app: OAuth2Session, **more: str) -> str:
    """The path and query of an authorization request."""
    address, _ = app.create_authorization_url(
        "/oauth/authorize", code_verifier=VERIFIER, state="st", **more
    )
    return str(address)


def consented(browser: Browser, path: str, decision: str = "allow") -> dict[str, str]:
    """What the application is told once the person, who is signed in, has decided."""
    browser.open(path)
    browser.send("/oauth/authorize", decision=decision)
    return told(browser)


def told(browser: Browser) -> dict[str, str]:
    """What the page that goes back tells the application."""
    assert browser.status == 200, browser.text
    (link,) = [link for link in browser.links if link.startswith(BACK)]
    return dict(parse_qsl(urlsplit(link).query))


def exchanged(app: OAuth2Session, place: Place, code: str, **more: str) -> dict[str, Any]:
    """The token for a code."""
    given = {"code": code, "code_verifier": VERIFIER, "redirect_uri": BACK} | more
    token: dict[str, Any] = app.fetch_token(f"{place.url}/oauth/token", **given)
    return token


def asked(client_id: str) -> dict[str, str]:
    """The fields of an authorization request."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": BACK,
        "scope": "infer",
        "state": "st",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
