"""A gateway that demands nonces, and clients that never heard of it before."""

from __future__ import annotations

import httpx

from gateway.client import SealgateAuth
from tests.e2e.conftest import MakeHouse


def test_our_client_learns_nonces_at_the_token_endpoint_and_everywhere_else(
    fresh: MakeHouse,
) -> None:
    house = fresh(dpop_nonce=True)
    auth = SealgateAuth.from_profile(house.cast.profile("ward-app"))
    with httpx.Client(auth=auth, base_url=house.url, timeout=60) as client:
        first = client.get("/v2/models/digits")
        assert first.status_code == 200
        assert first.headers["dpop-nonce"]
        body = house.owned["digits"].body()
        assert client.post("/v2/models/digits/infer", json=body).status_code == 200
    unbound = house.infer()
    assert unbound.status_code == 200
    assert "dpop-nonce" not in unbound.headers
