"""Tokens that are bound to a key: a proof of POST to the public URL with the method's path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.grpc.status import Status
from gateway.identity.records import SCOPES
from tests.gateway.grpc.door import Door, opened, request
from tests.gateway.grpc.peer import INFER, STREAM, message
from tests.gateway.identity.fakes import ED25519, OTHER, URL, proof
from tests.gateway.inference.works import works
from tests.gateway.parts import NOW


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with works() as shop:
        shop.publish()
        with opened(shop) as served:
            yield served


@pytest.fixture(scope="module")
def token(door: Door) -> str:
    client = replace(door.shop.client(), id="bound", token_binding="dpop")
    door.shop.house.stores.clients.add(client)
    thumbprint = ED25519.thumbprint()
    return door.shop.minter.mint(client, frozenset(SCOPES), thumbprint).text


def bound(token: str, made: bytes | None) -> list[tuple[str, str]]:
    headers = [("authorization", f"DPoP {token}")]
    return [*headers, ("dpop", made.decode())] if made is not None else headers


def test_a_proof_of_the_call_is_accepted_once(door: Door, token: str) -> None:
    made = proof(ED25519, "POST", URL + INFER, token, now=NOW)
    with door.peer() as peer:
        assert peer.call(request(), *bound(token, made)).status == Status.OK
        heard = peer.call(request(), *bound(token, made))
    assert heard.status == Status.UNAUTHENTICATED
    assert heard.told["sealgate-problem"] == "invalid_dpop_proof"
    assert heard.told["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')


@pytest.mark.parametrize("case", ["none", "get", "another path", "another key", "bearer"])
def test_what_does_not_prove_the_call_is_refused(door: Door, token: str, case: str) -> None:
    headers = {
        "none": bound(token, None),
        "get": bound(token, proof(ED25519, "GET", URL + INFER, token, now=NOW)),
        "another path": bound(token, proof(ED25519, "POST", URL + STREAM, token, now=NOW)),
        "another key": bound(token, proof(OTHER, "POST", URL + INFER, token, now=NOW)),
        "bearer": [("authorization", f"Bearer {token}")],
    }[case]
    with door.peer() as peer:
        assert peer.call(request(), *headers).status == Status.UNAUTHENTICATED


def test_one_proof_counts_for_all_requests_of_its_stream_and_for_no_other(
    door: Door, token: str
) -> None:
    made = proof(ED25519, "POST", URL + STREAM, token, now=NOW)
    with door.peer() as peer:
        number = peer.begin(STREAM, *bound(token, made))
        for _ in range(3):
            peer.data(number, message(request()), end=False)
        peer.data(number, b"")
        heard = peer.answer(number)
        assert (heard.status, len(heard.messages)) == (Status.OK, 3)
        again = peer.begin(STREAM, *bound(token, made))
        peer.data(again, message(request()))
        assert peer.answer(again).status == Status.UNAUTHENTICATED
