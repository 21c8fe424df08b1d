"""Clients that show certificates, and tokens that are bound to them (RFC 8705)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.authorization_server import TokenAnswer
from gateway.identity.client_authentication import Connection
from gateway.identity.client_certificate import ClientCertificate, from_header
from gateway.identity.errors import InvalidToken, OAuthRefusal
from gateway.identity.principal import Principal
from gateway.identity.records import Client

from .certificates import SelfSigned
from .fakes import ED25519, URL, World, basic, proof

MINE, OTHER, RSA = SelfSigned(), SelfSigned(), SelfSigned(kind="RSA")
FORM = {"grant_type": "client_credentials", "client_id": "shower"}


def over(shown: SelfSigned | None) -> Connection:
    return Connection("", None if shown is None else ClientCertificate(shown.der))


def place(**changes: Any) -> World:
    world = World()
    made: dict[str, Any] = {
        "auth_method": "self_signed_tls_client_auth",
        "secret_hash": None,
        "jwks": MINE.jwks,
        "token_binding": "mtls",
        **changes,
    }
    world.clients.add(replace(world.service, id="shower", **made))
    return world


def ask(world: World, shown: SelfSigned | None, **form: str) -> TokenAnswer:
    return world.server.token_response({**FORM, **form}, None, None, over(shown))


def call(world: World, token: str, shown: SelfSigned | None, scheme: str = "Bearer") -> Principal:
    thumbprint = "" if shown is None else ClientCertificate(shown.der).thumbprint
    return asyncio.run(
        world.authenticator.authenticate(
            f"{scheme} {token}".encode(), None, "GET", "/", certificate=thumbprint
        )
    )


def test_a_client_is_known_by_its_certificate_and_its_token_is_bound_to_it() -> None:
    world = place()
    answer = ask(world, MINE)
    assert answer.body["token_type"] == "Bearer"
    token = str(answer.body["access_token"])
    for _ in range(2):
        assert call(world, token, MINE).binding == "mtls"
        for shown in (OTHER, None):
            with pytest.raises(InvalidToken):
                call(world, token, shown)
        with pytest.raises(InvalidToken):
            call(world, token, MINE, "DPoP")
    told = world.server.introspect({"token": token}, basic())
    assert told["cnf"] == {"x5t#S256": ClientCertificate(MINE.der).thumbprint}


def test_a_renewed_certificate_of_the_same_key_authenticates_but_takes_no_older_token() -> None:
    world = place(jwks=RSA.jwks)
    token = str(ask(world, RSA).body["access_token"])
    renewed = SelfSigned(kind="RSA")
    renewed.key = RSA.key
    assert ClientCertificate(RSA.der).key_thumbprint
    with pytest.raises(InvalidToken):
        call(world, token, renewed)


@pytest.mark.parametrize("shown", [OTHER, RSA, None], ids=["other", "rsa", "none"])
def test_a_key_that_was_not_registered_is_nobody(shown: SelfSigned | None) -> None:
    answer = ask(place(), shown)
    assert answer.refusal is not None
    assert answer.refusal.error == "invalid_client"


@pytest.mark.parametrize("name", ["service", "machine", "nobody", "A b"])
def test_a_certificate_stands_for_no_client_that_registered_none(name: str) -> None:
    world = place()
    world.clients.update(replace(world.machine, jwks=MINE.jwks))
    refused = ask(world, MINE, client_id=name).refusal
    assert refused is not None
    assert refused.public == "client authentication failed"


def test_a_certificate_beside_a_secret_changes_nothing() -> None:
    world = World()
    form = {"grant_type": "client_credentials"}
    answer = world.server.token_response(form, basic(), None, over(OTHER))
    token = str(answer.body["access_token"])
    assert call(world, token, None).binding == "none"
    assert call(world, token, MINE).binding == "none"


def bound_by_secret(world: World) -> Client:
    client = replace(world.service, id="holder", token_binding="mtls")
    world.clients.add(client)
    return client


def test_a_client_with_a_secret_may_have_tokens_that_are_bound_to_its_certificate() -> None:
    world = World()
    client = bound_by_secret(world)
    form = {"grant_type": "client_credentials"}
    refused = world.server.token_response(form, basic("holder"), None).refusal
    assert refused is not None
    assert "certificate is required" in refused.public
    answer = world.server.token_response(form, basic("holder"), None, over(MINE))
    assert call(world, str(answer.body["access_token"]), MINE).client_id == "holder"
    with pytest.raises(InvalidToken):
        call(world, world.minter.mint(client, frozenset({"infer"})).text, MINE)


def test_a_proof_of_another_key_does_not_take_the_place_of_the_certificate() -> None:
    world = place()
    made = proof(ED25519, "POST", URL + "/oauth/token")
    answer = world.server.token_response(FORM, None, made, over(MINE))
    assert answer.refusal is not None
    assert answer.refusal.error == "invalid_dpop_proof"


def test_a_token_that_is_bound_in_two_ways_is_none() -> None:
    world = World()
    token = world.forged(cnf={"jkt": ED25519.thumbprint(), "x5t#S256": "x"}).decode()
    with pytest.raises(InvalidToken):
        call(world, token, MINE)


def test_a_proxys_header_is_read() -> None:
    for shown in (MINE, RSA):
        found = from_header(shown.escaped)
        assert found == ClientCertificate(shown.der)
    assert from_header(MINE.escaped + OTHER.escaped) == ClientCertificate(MINE.der)


@given(st.binary() | st.binary().map(lambda b: b"-----BEGIN CERTIFICATE-----" + b))
def test_any_header_is_a_certificate_or_none(value: bytes) -> None:
    found = from_header(value)
    assert found is None or found.key_thumbprint == ""


def test_a_stranger_without_a_form_is_refused_as_ever() -> None:
    with pytest.raises(OAuthRefusal):
        place().client_authenticator.authenticate({}, None, over(MINE))
