"""Bodies that are JSON and cannot be kept are refused; each was a fault once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.place import Place

pytestmark = pytest.mark.e2e
UNKEEPABLE: dict[str, Any] = {
    "a whole number beyond 64 bits": b'{"features": 762033248147966514954240000}',
    "half a character": b'{"features": "\\ud800"}',
    "half a character in a name": b'{"\\udc00": 1}',
}


@pytest.fixture(scope="module")
def token(place: Place) -> str:
    place.tenant("trial")
    with place.client("trial", "owner") as owner:
        owner.post("/v1/models", {"name": "lungs", "personal": False})
    profile = place.profile("trial", "convenor")
    answer = httpx.post(
        f"{place.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("trial-convenor", profile.with_suffix(".secret").read_text()),
    )
    return str(answer.json()["access_token"])


@pytest.mark.parametrize("what", UNKEEPABLE)
def test_a_configuration_that_cannot_be_kept_is_refused(
    what: str, place: Place, token: str
) -> None:
    body = b'{"name": "odd", "model": "lungs", "config": ' + UNKEEPABLE[what] + b"}"
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    answer = httpx.post(f"{place.url}/v1/federations", content=body, headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (422, "invalid request")


def test_one_that_can_be_kept_is_kept(place: Place, token: str) -> None:
    body = {"name": "well", "model": "lungs", "config": {"features": 30, "note": "\U0001f512"}}
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.post(f"{place.url}/v1/federations", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert "\U0001f512" in answer.json()["config"]
