from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.assertion_rules import rules_of
from gateway.identity.client_assertions import ASSERTION_TYPE
from gateway.identity.errors import OAuthRefusal
from gateway.identity.records import Client, Tenant

from .fakes import (
    ED25519,
    NOW,
    OTHER,
    P256,
    RSA,
    SECRET,
    URL,
    World,
    assertion,
    basic,
)


def authenticate(
    form: dict[str, str] | None = None, authorization: bytes | None = None, world: Any = None
) -> Client:
    return (world or World()).client_authenticator.authenticate(form or {}, authorization)


def refusal(
    form: dict[str, str] | None = None, authorization: bytes | None = None, world: Any = None
) -> tuple[str, str]:
    with pytest.raises(OAuthRefusal) as refused:
        authenticate(form, authorization, world)
    return refused.value.error, refused.value.public


def post(client_id: str = "service", secret: str = SECRET) -> dict[str, str]:
    return {"client_id": client_id, "client_secret": secret}


REFUSED = ("invalid_client", "client authentication failed")
UNPROVEN = ("invalid_client", rules_of("rfc7523", URL).advice)


def test_a_secret_is_accepted_in_the_header_and_in_the_form() -> None:
    assert authenticate(authorization=basic()).id == "service"
    assert authenticate(post()).id == "service"


def test_both_halves_of_the_header_are_form_encoded() -> None:
    assert authenticate(authorization=basic("s%65rvice")).id == "service"


def test_every_refusal_of_a_secret_is_the_same() -> None:
    world = World()
    world.clients.add(replace(world.service, id="disabled", disabled=True))
    world.clients.add(replace(world.service, id="suspended", tenant="gone"))
    world.tenants.add(Tenant("gone", "Gone", "eu", suspended=True))
    world.clients.add(replace(world.service, id="homeless", tenant="nowhere"))
    world.clients.add(replace(world.service, id="unset", secret_hash=None))
    answers = {refusal(post(secret="wrong"), world=world), refusal(post(secret=""), world=world)}
    for name in (
        "unknown",
        "disabled",
        "suspended",
        "homeless",
        "unset",
        "machine",
        "",
        "A b",
        "é",
    ):
        answers.add(refusal(post(name), world=world))
    for name in ("unknown", "disabled", "machine"):
        answers.add(refusal(authorization=basic(name), world=world))
    assert answers == {REFUSED}


@pytest.mark.parametrize(
    "authorization",
    [b"", b"Basic", b"Basic !", b"Basic \xff", b"Bearer abc", b"Basic " + b"A" * 600,
     basic("service", "\u00e9"), basic("service:more", SECRET)],
)  # fmt: skip
def test_a_malformed_header_is_refused(authorization: bytes) -> None:
    assert refusal(authorization=authorization) == REFUSED


@pytest.mark.parametrize("form", [{}, {"client_id": "service"}, {"client_id": "machine"}])
def test_no_credential_is_refused(form: dict[str, str]) -> None:
    assert refusal(form) == REFUSED


def test_two_ways_at_once_are_refused() -> None:
    for form in (post(), assertion(ED25519)):
        assert refusal(form, basic())[0] == "invalid_request"
    assert refusal({**post(), **assertion(ED25519)})[0] == "invalid_request"


def test_the_form_cannot_name_another_client() -> None:
    assert refusal({"client_id": "machine"}, basic()) == REFUSED
    assert refusal({**assertion(ED25519), "client_id": "service"}) == REFUSED
    assert authenticate({**assertion(ED25519), "client_id": "machine"}).id == "machine"


def test_an_assertion_is_accepted_once() -> None:
    world = World()
    form = assertion(ED25519)
    assert authenticate(form, world=world).id == "machine"
    assert refusal(form, world=world) == UNPROVEN


@pytest.mark.parametrize("key", [P256, RSA], ids=lambda k: k.key_type)
def test_every_kind_of_key_is_accepted(key: Any) -> None:
    world = World()
    world.clients.update(replace(world.machine, jwks={"keys": [key.as_dict(private=False)]}))
    assert authenticate(assertion(key), world=world).id == "machine"


@pytest.mark.parametrize("typ", ["JWT", "client-authentication+jwt"])
def test_the_types_of_an_assertion(typ: str) -> None:
    assert authenticate(assertion(ED25519, header={"typ": typ})).id == "machine"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example"},
        {"aud": [URL, "https://other.example"]},
        {"aud": ...},
        {"iss": "service"},
        {"iss": ...},
        {"sub": ...},
        {"sub": ["machine"]},
        {"sub": None},
        {"exp": ...},
        {"exp": int(NOW)},
        {"exp": int(NOW) + 3611},
        {"exp": "later"},
        {"exp": float("1e308")},
        {"iat": int(NOW) + 11},
        {"nbf": int(NOW) + 11},
        {"nbf": "soon"},
        {"jti": ...},
        {"jti": ""},
        {"jti": ["a-long-enough-one"]},
        {"jti": "\ud800" * 9},
    ],
    ids=str,
)
def test_what_is_wrong_with_an_assertion(claims: dict[str, Any]) -> None:
    assert refusal(assertion(ED25519, **claims)) == UNPROVEN


def named_key() -> World:
    world = World()
    jwk = {**ED25519.as_dict(private=False), "kid": "first"}
    world.clients.update(replace(world.machine, jwks={"keys": [jwk]}))
    return world


@pytest.mark.parametrize(
    "header",
    [{"typ": "at+jwt"}, {"typ": "dpop+jwt"}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"},
     {"alg": None}, {"kid": "unknown"}, {"kid": 5}, {"crit": ["exp"]}],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_its_header(header: dict[str, Any]) -> None:
    assert refusal(assertion(ED25519, header=header), world=named_key()) == UNPROVEN


def test_an_audience_may_be_a_list_of_one() -> None:
    assert authenticate(assertion(ED25519, aud=[URL])).id == "machine"


def test_every_refusal_of_an_assertion_is_the_same() -> None:
    world = World()
    world.clients.add(replace(world.machine, id="disabled", disabled=True))
    world.clients.add(replace(world.machine, id="keyless", jwks=None))
    answers = {refusal(assertion(OTHER), world=world), refusal(assertion(P256), world=world)}
    for name in ("unknown", "disabled", "keyless", "service", "A b"):
        answers.add(refusal(assertion(ED25519, name), world=world))
    assert answers == {UNPROVEN}


@pytest.mark.parametrize("client_id", ["unknown", "service"])
def test_the_key_that_stands_in_opens_nothing(client_id: str) -> None:
    for key in (ED25519, P256, RSA):
        assert refusal(assertion(key, client_id)) == UNPROVEN


def test_a_refused_assertion_does_not_use_its_identifier_up() -> None:
    world = World()
    assert refusal(assertion(OTHER, jti="the-same-one"), world=world) == UNPROVEN
    assert authenticate(assertion(ED25519, jti="the-same-one"), world=world).id == "machine"


def test_several_keys_are_told_apart_by_their_id() -> None:
    world = World()
    keys = [
        {**key.as_dict(private=False), "kid": kid} for key, kid in ((ED25519, "a"), (OTHER, "b"))
    ]
    world.clients.update(replace(world.machine, jwks={"keys": keys}))
    assert authenticate(assertion(OTHER, header={"kid": "b"}), world=world).id == "machine"
    assert refusal(assertion(OTHER, header={"kid": "a"}), world=world) == UNPROVEN
    assert refusal(assertion(OTHER), world=world) == UNPROVEN


def test_only_the_assertion_type_of_rfc_7523_is_known() -> None:
    form = assertion(ED25519)
    assert refusal({**form, "client_assertion_type": "urn:other"}) == UNPROVEN
    assert refusal({"client_assertion": "a.b.c"}) == UNPROVEN
    assert form["client_assertion_type"] == ASSERTION_TYPE


SHARED = World()


@given(
    st.dictionaries(
        st.sampled_from(
            ["client_id", "client_secret", "client_assertion", "client_assertion_type", "x"]
        ),
        st.text() | st.just(ASSERTION_TYPE),
    ),
    st.none() | st.binary() | st.binary().map(lambda b: b"Basic " + b),
)
def test_anything_is_refused_as_ours(form: dict[str, str], authorization: bytes | None) -> None:
    assert refusal(form, authorization, SHARED)[0] in ("invalid_client", "invalid_request")


def test_refusals_are_counted_and_what_is_accepted_is_not() -> None:
    world = World()
    authenticate(authorization=basic(), world=world)
    refusal(authorization=basic(secret="wrong"), world=world)
    refusal(world=world)
    refusal(post(), basic(), world)
    assert world.server.refusals == {"invalid_client": 2, "invalid_request": 1}
