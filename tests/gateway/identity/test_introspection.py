from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.errors import OAuthRefusal
from gateway.identity.records import Client

from .fakes import ED25519, NOW, SECRET, URL, World, basic

INACTIVE = {"active": False}


def place() -> tuple[World, Client]:
    """A world, and a client of the other tenant in it."""
    world = World()
    stranger = replace(world.service, id="stranger", tenant="south", purposes=frozenset())
    world.clients.add(stranger)
    return world, stranger


def told(world: World, token: str, by: str = "service") -> Any:
    return world.server.introspect({"token": token}, basic(by))


def test_a_token_of_ones_own_tenant_is_told() -> None:
    world = World()
    assert told(world, world.bearer()) == {
        "active": True,
        "iss": URL,
        "sub": "service",
        "aud": URL,
        "client_id": "service",
        "scope": "infer",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
        "jti": "AAAAAAAAAAAAAAAAAAAAAQ",
        "token_type": "Bearer",
        "tenant": "north",
    }


def test_a_bound_token_tells_its_key() -> None:
    world = World()
    answer = told(world, world.bound())
    assert (answer["client_id"], answer["token_type"]) == ("machine", "DPoP")
    assert answer["cnf"] == {"jkt": ED25519.thumbprint()}


def test_a_scope_that_was_taken_away_is_not_told() -> None:
    world = World()
    token = world.bearer()
    world.revocation_state.save_client(replace(world.service, scopes=frozenset()))
    assert told(world, token)["scope"] == ""


def test_everything_else_is_inactive_and_nothing_more() -> None:
    world, stranger = place()
    foreign = world.minter.mint(stranger, frozenset({"infer"})).text
    assert told(world, foreign, by="stranger")["active"] is True
    revoked = world.bearer()
    world.server.revoke(URL, told(world, revoked)["jti"], int(NOW) + 300)
    for token in (
        *("x", "a.b.c", "\ud800", SECRET, foreign, revoked),
        world.forged(iss="https://other.example").decode(),
        world.forged(exp=int(NOW)).decode(),
        world.forged(header={"kid": "another"}).decode(),
        world.forged(client_id="nobody", sub="nobody").decode(),
    ):
        assert told(world, token) == INACTIVE


@pytest.mark.parametrize("shut_out", ["client", "tenant"])
def test_a_token_of_a_client_that_was_shut_out_is_inactive(shut_out: str) -> None:
    world = World()
    token = world.bound()
    if shut_out == "client":
        world.revocation_state.save_client(replace(world.machine, disabled=True))
        assert told(world, token) == INACTIVE
    else:
        tenant = world.tenants.get("north")
        assert tenant is not None
        world.revocation_state.save_tenant(replace(tenant, suspended=True))
        with pytest.raises(OAuthRefusal):
            told(world, token)


def test_who_asks_must_say_who_it_is_and_about_what() -> None:
    world = World()
    for form, authorization, error in (
        ({"token": world.bearer()}, None, "invalid_client"),
        ({"token": world.bearer()}, basic(secret="wrong"), "invalid_client"),
        ({}, basic(), "invalid_request"),
    ):
        with pytest.raises(OAuthRefusal) as refused:
            world.server.introspect(form, authorization)
        assert refused.value.error == error


SHARED = World()


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_any_text_is_inactive(token: str) -> None:
    assert told(SHARED, token) == INACTIVE
