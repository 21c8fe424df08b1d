"""A gateway that demands nonces, and clients that never heard of it before."""

from __future__ import annotations

import grpc
import httpx
import pytest

from gateway.client import SealgateAuth
from gateway.client.grpc import channel_credentials
from tests.e2e.conftest import MakeHouse

pytestmark = pytest.mark.clients


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
        # gRPC shows no answers to who signs: the nonce that came last is good there, too.
        creds = channel_credentials(auth)
        address = f"127.0.0.1:{house.place.grpc_port}"
        with grpc.secure_channel(address, creds) as channel:
            alive = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
            asked = b"\x0a\x06digits"  # ModelReadyRequest(name="digits")
            assert alive(asked, timeout=60) == b"\x08\x01"
    unbound = house.infer()
    assert unbound.status_code == 200
    assert "dpop-nonce" not in unbound.headers
