"""Requests that an application pushes first (RFC 9126)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import httpx
import pytest
from joserfc.jwk import OKPKey

from gateway.client.proofs import new_proof_key, proof
from tests.gateway.people.apps import BACK, VERIFIER, asked, register, told
from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import Ada
from tests.gateway.place import Place


@pytest.fixture
def signed_in(ada: Ada, browsers: Callable[[], Browser]) -> Browser:
    browser = browsers()
    ada.sign_in(browser)
    return browser


@pytest.fixture(autouse=True, scope="module")
def _another(place: Place) -> None:
    register(place, "acme-native")


def test_a_pushed_request_is_good_for_one_consent(place: Place, signed_in: Browser) -> None:
    secret = register(place, "acme-web", auth_method="client_secret_basic")
    assert secret is not None
    query = asked("acme-web")
    with httpx.Client(base_url=place.url, timeout=60) as client:
        refused = client.post("/oauth/par", data=query)
        assert refused.json()["error"] == "invalid_client"
        made = client.post("/oauth/par", data=query, auth=("acme-web", secret))
        assert (made.status_code, made.json()["expires_in"]) == (201, 300)
        uri = made.json()["request_uri"]
        pushed = {"client_id": "acme-web", "request_uri": uri}
        form = {"grant_type": "authorization_code", "code_verifier": VERIFIER, "redirect_uri": BACK}
        signed_in.open("/oauth/authorize", **(pushed | {"client_id": "acme-native"}))
        assert signed_in.status == 422
        signed_in.open("/oauth/authorize", **pushed).send("/oauth/authorize", decision="allow")
        code = told(signed_in)["code"]
        token = client.post("/oauth/token", data=form | {"code": code}, auth=("acme-web", secret))
        assert token.status_code == 200
        assert signed_in.open("/oauth/authorize", **pushed).status == 422


def test_a_proof_beside_a_pushed_request_binds_the_code_to_its_key(
    place: Place, signed_in: Browser
) -> None:
    """RFC 9449 section 10.1: the proof was passed over, and anybody's key got the token."""
    secret = register(place, "acme-bound", auth_method="client_secret_basic")
    assert secret is not None
    own, other = new_proof_key(), new_proof_key()
    query, who = asked("acme-bound"), ("acme-bound", secret)

    def proven(key: OKPKey, path: str) -> dict[str, str]:
        text = proof(key, "POST", place.url + path, int(time.time()), secrets.token_hex(16))
        return {"dpop": text}

    with httpx.Client(base_url=place.url, timeout=60) as client:
        for bad in (proven(own, "/oauth/token"), {"dpop": "x.y.z"}):
            refused = client.post("/oauth/par", data=query, headers=bad, auth=who)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")
        named = query | {"dpop_jkt": other.thumbprint()}
        refused = client.post("/oauth/par", data=named, headers=proven(own, "/oauth/par"), auth=who)
        assert "another key" in refused.json()["error_description"]
        made = client.post("/oauth/par", data=query, headers=proven(own, "/oauth/par"), auth=who)
        pushed = {"client_id": "acme-bound", "request_uri": made.json()["request_uri"]}
        signed_in.open("/oauth/authorize", **pushed).send("/oauth/authorize", decision="allow")
        form = {"grant_type": "authorization_code", "code_verifier": VERIFIER, "redirect_uri": BACK}
        form["code"] = told(signed_in)["code"]
        for key, status in ((other, 400), (own, 200)):
            headers = proven(key, "/oauth/token")
            answer = client.post("/oauth/token", data=form, headers=headers, auth=who)
            assert answer.status_code == status, answer.text
