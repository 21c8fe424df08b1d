from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.identity.errors import KeyRefused
from gateway.identity.key_admission import DEFAULT_ALGORITHMS
from gateway.identity.key_sets import MAX_KEYS, KeySet, admit_set, read_key_set

from .fakes import ED25519, P256, RSA
from .test_key_admission import json_values, members, public, small_rsa

FOREIGN = frozenset({"RS256", "PS256", "ES256", "Ed25519"})


def of(*keys: Any) -> KeySet:
    return read_key_set({"keys": list(keys)}, FOREIGN)


def test_a_set_leaves_out_what_it_cannot_use() -> None:
    keys = [public(ED25519, kid="a"), small_rsa() | {"kid": "b"}, public(P256)]
    assert set(admit_set({"keys": keys}, DEFAULT_ALGORITHMS)) == {"a"}


@pytest.mark.parametrize(
    "document",
    [
        {"keys": [public(ED25519, kid="a"), public(P256, kid="a")]},
        {"keys": [public(ED25519, kid=f"k{n}") for n in range(MAX_KEYS + 1)]},
        {"keys": [small_rsa() | {"kid": "a"}]},
        {"keys": []},
        {"keys": {}},
        {},
        None,
    ],
)
def test_a_set_is_refused_as_a_whole(document: Any) -> None:
    with pytest.raises(KeyRefused):
        admit_set(document, DEFAULT_ALGORITHMS)


def test_issue_8_3_an_rsa_key_without_alg_does_for_both_paddings() -> None:
    key = of(public(RSA, kid="a")).by_id["a"]
    assert {key.algorithm, *key.others} == {"PS256", "RS256"}
    named = of(public(RSA, kid="a", alg="RS256")).by_id["a"]
    assert {named.algorithm, *named.others} == {"RS256"}


def test_issue_8_3_the_former_name_of_ed25519_is_known() -> None:
    for named in ({"alg": "EdDSA"}, {"alg": "Ed25519"}, {"alg": None}, {}):
        key = of(public(ED25519, kid="a", **named)).by_id["a"]
        assert (key.algorithm, key.others) == ("Ed25519", frozenset({"EdDSA"}))
    with pytest.raises(KeyRefused):
        of(public(P256, kid="a", alg="EdDSA"))


@pytest.mark.parametrize(
    "more",
    [
        {"key_ops": ["verify", "sign"]},
        {"key_ops": ["verify"], "use": "sig"},
        {"use": None, "key_ops": None, "alg": None},
        {"x5c": ["MIIB"], "x5t": "a", "x5t#S256": "b", "n-extra": 1},
    ],
    ids=str,
)
def test_issue_8_3_what_products_write_beside_a_key_does_no_harm(more: dict[str, Any]) -> None:
    assert set(of(public(RSA, kid="a", **more)).by_id) == {"a"}


def test_issue_8_3_a_key_without_an_id_does_for_a_token_without_one() -> None:
    for none in ({}, {"kid": None}):
        found = of(public(RSA, **none)).find(None)
        assert found is not None
        assert found.thumbprint == RSA.thumbprint()
    assert of(public(RSA, kid="a")).find(None) is not None
    assert of(public(RSA), public(P256)).find(None) is None, "nobody knows which"
    assert of(public(RSA)).find("a") is None


def test_issue_8_3_a_key_for_encryption_of_the_same_id_costs_itself() -> None:
    other = RSAKey.generate_key(2048)
    for second in (
        public(other, kid="a", use="enc", alg="RSA-OAEP"),
        public(other, kid="a", use="enc"),
        public(other, kid="a", key_ops=["wrapKey"]),
        public(RSA, kid="a", use="enc"),
        small_rsa() | {"kid": "a"},
    ):
        for keys in ((public(RSA, kid="a", use="sig"), second), (second, public(RSA, kid="a"))):
            found = of(*keys)
            assert found.by_id["a"].thumbprint == RSA.thumbprint()
            assert len(found.left_out) == 1


def test_issue_8_3_what_no_key_is_costs_itself() -> None:
    odd: list[Any] = [
        {"kid": None, "kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"},
        public(ECKey.generate_key("P-521"), kid="a521"),
        public(ECKey.generate_key("secp256k1"), kid="bitcoin"),
        public(OKPKey.generate_key("X25519"), kid="x"),
        public(ED25519, kid=7),
        public(P256, kid=["a"]),
        *(5, None, "text", [], {}),
    ]
    found = of(*odd, public(RSA, kid="good"))
    assert set(found.by_id) == {"good"}
    assert [one.place for one in found.left_out] == list(range(len(odd)))
    assert found.find(None) is not None


def test_of_two_keys_of_one_id_neither_counts_and_others_do() -> None:
    other = RSAKey.generate_key(2048)
    found = of(public(RSA, kid="a"), public(other, kid="a"), public(P256, kid="b"))
    assert set(found.by_id) == {"b"}


def test_a_key_that_is_published_once_for_each_algorithm_does_for_both() -> None:
    key = of(public(RSA, kid="a", alg="RS256"), public(RSA, kid="a", alg="PS256")).by_id["a"]
    assert {key.algorithm, *key.others} == {"PS256", "RS256"}


@given(
    st.lists(
        json_values
        | st.dictionaries(members, json_values)
        | st.builds(
            lambda base, changes: {**base, **changes},
            st.sampled_from([public(ED25519), public(P256), public(RSA)]),
            st.dictionaries(members, json_values, max_size=2),
        ),
        max_size=5,
    )
)
def test_any_set_is_read_or_refused(keys: list[Any]) -> None:
    with contextlib.suppress(KeyRefused):
        assert of(*keys).members
