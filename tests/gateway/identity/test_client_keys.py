from __future__ import annotations

from typing import Any

import pytest

from gateway.identity.client_keys import ClientKeys, client_keys, key_named
from gateway.identity.errors import KeyRefused
from gateway.identity.key_admission import DEFAULT_ALGORITHMS
from gateway.identity.signed import Unverified, parse

from .fakes import ED25519, OTHER, P256, RSA, World, assertion, sign


def jwks(*keys: Any, **members: Any) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), **members} for key in keys]}


def said(**header: Any) -> Unverified:
    return parse(sign({"alg": "Ed25519", **header}, {}, ED25519).encode(), frozenset({""}))


def test_issue_8_5_a_key_set_is_admitted_once() -> None:
    world = World()
    for _ in range(5):
        world.client_authenticator.authenticate(assertion(ED25519), None)
    assert world.client_authenticator._assertions.keys.admissions == 1


def test_a_changed_record_is_admitted_anew() -> None:
    keys = ClientKeys()
    first, second = jwks(ED25519), jwks(OTHER)
    assert keys.of("machine", [first]) is keys.of("machine", [first])
    [made] = keys.of("machine", [second])
    assert {key.thumbprint for key in made} == {OTHER.thumbprint()}
    assert keys.of("machine", [second, first]) != keys.of("machine", [second])


def test_a_client_that_does_not_exist_is_admitted_as_often_as_one_that_does() -> None:
    keys = ClientKeys()
    known = jwks(P256)
    for _ in range(3):
        assert keys.of("stranger", []) == ()
        keys.of("machine", [known])
    assert keys.admissions == 2


def test_a_set_that_is_not_acceptable_has_no_keys() -> None:
    keys = ClientKeys()
    assert keys.of("a", [None]) == ((),)
    assert keys.of("b", [{"keys": [{"kty": "oct", "k": "AAAA"}]}]) == ((),)


def test_only_so_many_clients_are_remembered() -> None:
    keys = ClientKeys(capacity=2)
    known = jwks(ED25519)
    first = keys.of("a", [known])
    for name in ("b", "c"):
        keys.of(name, [])
    assert keys.of("a", [known]) is not first


def test_a_profile_leaves_algorithms_out() -> None:
    [made] = ClientKeys(DEFAULT_ALGORITHMS).of("machine", [jwks(RSA)])
    assert [key.algorithm for key in made] == ["PS256"]


@pytest.mark.parametrize(
    ("members", "header", "found"),
    [
        ({}, {}, True),
        ({}, {"kid": "whatever"}, True),
        ({}, {"kid": 5}, False),
        ({"kid": "a"}, {"kid": "a"}, True),
        ({"kid": "a"}, {}, True),
        ({"kid": "a"}, {"kid": "b"}, False),
        ({"kid": "a"}, {"kid": ED25519.thumbprint()}, True),
        ({"kid": "a"}, {"kid": OTHER.thumbprint()}, False),
        ({}, {"alg": "ES256"}, False),
    ],
)
def test_a_key_id_is_a_hint(members: dict[str, str], header: Any, found: bool) -> None:
    keys = client_keys(jwks(ED25519, **members))
    assert (key_named(keys, said(**header)) is not None) == found


def test_several_keys_need_names_and_one_of_them() -> None:
    with pytest.raises(KeyRefused):
        client_keys(jwks(ED25519, OTHER))
    both = {"keys": [*jwks(ED25519, kid="a")["keys"], *jwks(OTHER, kid="b")["keys"]]}
    keys = client_keys(both)
    assert key_named(keys, said()) is None
    found = key_named(keys, said(kid="b"))
    assert found is not None
    assert found.thumbprint == OTHER.thumbprint()
