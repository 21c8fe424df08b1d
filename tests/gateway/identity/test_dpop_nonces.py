from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.dpop_nonces import WINDOW_SECONDS, Nonces
from gateway.identity.errors import InvalidProof, NonceRequired
from gateway.identity.principal import Principal

from .fakes import ED25519, NOW, OTHER, URL, Clock, World, assertion, proof

KEY = bytes(range(32))
PATH = "/v1/models"


def call(world: World, token: str, **claims: Any) -> Principal:
    made = proof(ED25519, "GET", URL + PATH, token, now=world.clock.now, **claims)
    authorization = f"DPoP {token}".encode()
    return asyncio.run(world.authenticator.authenticate(authorization, made, "GET", PATH))


def test_every_replica_takes_what_another_handed_out_and_no_other_key_does() -> None:
    given_out = Nonces(KEY, Clock()).current()
    assert Nonces(KEY, Clock()).holds(given_out)
    assert not Nonces(bytes(32), Clock()).holds(given_out)


def test_a_nonce_is_good_for_one_window_at_least_and_two_at_most() -> None:
    start = float(int(NOW) // WINDOW_SECONDS * WINDOW_SECONDS)
    first = Clock(start)
    nonce = Nonces(KEY, first).current()
    first.now = start + WINDOW_SECONDS - 1
    assert Nonces(KEY, first).current() == nonce
    for later, good in ((WINDOW_SECONDS, True), (2 * WINDOW_SECONDS - 1, True), (0, True),
                        (2 * WINDOW_SECONDS, False), (-1, False)):  # fmt: skip
        assert Nonces(KEY, Clock(start + later)).holds(nonce) == good


@given(st.none() | st.integers() | st.text() | st.lists(st.text()))
def test_nothing_that_is_made_up_is_a_nonce(nonce: object) -> None:
    assert not Nonces(KEY, Clock()).holds(nonce)


def test_a_resource_asks_for_a_nonce_and_takes_it() -> None:
    world = World(nonces=True)
    token = world.bound()
    with pytest.raises(NonceRequired) as asked:
        call(world, token)
    assert asked.value.challenge.startswith('DPoP error="use_dpop_nonce"')
    assert call(world, token, nonce=asked.value.nonce).client_id == "machine"
    world.clock.now += 2 * WINDOW_SECONDS
    with pytest.raises(NonceRequired):
        call(world, world.bound(), nonce=asked.value.nonce)


def test_the_token_endpoint_asks_for_a_nonce_and_takes_it() -> None:
    world = World(nonces=True)
    target = ("POST", URL + "/oauth/token")
    asked = world.server.token_response(assertion(ED25519), None, proof(ED25519, *target))
    assert asked.refusal is not None
    assert asked.refusal.error == "use_dpop_nonce"
    again = proof(ED25519, *target, nonce=asked.refusal.nonce)
    assert world.server.token_response(assertion(ED25519), None, again).body["token_type"] == "DPoP"


def test_what_is_wrong_otherwise_is_told_so_and_gets_no_nonce() -> None:
    world = World(nonces=True)
    assert world.nonces is not None
    nonce = world.nonces.current()
    for claims in ({"htm": "POST"}, {"iat": int(NOW) - 61}, {"ath": "x"}, {"jti": "x"}):
        for carried in ({}, {"nonce": nonce}):
            with pytest.raises(InvalidProof) as refused:
                call(world, world.bound(), **claims, **carried)
            assert refused.value.code == "invalid_dpop_proof"


def test_where_none_is_demanded_one_that_is_sent_changes_nothing() -> None:
    world = World()
    assert call(world, world.bound(), nonce="whatever").client_id == "machine"


def test_a_nonce_does_not_make_a_proof_good_twice_or_for_another_key() -> None:
    world = World(nonces=True)
    assert world.nonces is not None
    token, nonce = world.bound(), world.nonces.current()
    call(world, token, nonce=nonce, jti="only-this-once")
    with pytest.raises(InvalidProof):
        call(world, token, nonce=nonce, jti="only-this-once")
    with pytest.raises(InvalidProof):
        call(world, world.bound(OTHER), nonce=nonce)
