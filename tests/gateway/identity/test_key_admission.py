from __future__ import annotations

import contextlib
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.util import int_to_base64

from gateway.identity.errors import KeyRefused
from gateway.identity.key_admission import DEFAULT_ALGORITHMS, admit

from .fakes import ED25519, P256, RSA, b64u


def public(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ED25519, "Ed25519"),
        (P256, "ES256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (RSA, "PS256"),
    ],
)
def test_a_key_has_one_algorithm(key: Any, algorithm: str) -> None:
    admitted = admit(public(key, kid="k"))
    assert (admitted.kid, admitted.algorithm) == ("k", algorithm)
    assert admitted.thumbprint == key.thumbprint()


def test_rsa_without_alg_takes_the_only_allowed_one_and_refuses_a_choice() -> None:
    assert admit(public(RSA), frozenset({"RS256"})).algorithm == "RS256"
    assert admit(public(RSA, alg="RS256"), frozenset({"RS256", "PS256"})).algorithm == "RS256"
    with pytest.raises(KeyRefused):
        admit(public(RSA), frozenset({"RS256", "PS256"}))
    with pytest.raises(KeyRefused):
        admit(public(RSA, alg="RS256"))


def small_rsa() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return public(RSAKey.generate_key(1024))


def rsa_number(modulus: int, exponent: int = 65537) -> dict[str, Any]:
    return {"kty": "RSA", "n": int_to_base64(modulus), "e": int_to_base64(exponent)}


def roca_modulus() -> int:
    """A modulus of the ROCA family: congruent to a power of 65537 modulo every small prime."""
    primes = [p for p in range(3, 168) if all(p % d for d in range(2, p))]
    product = 2
    for prime in primes:
        product *= prime
    residue = pow(65537, 12345, product)
    return residue + product * ((1 << 2047) // product + 7)


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(ED25519.as_dict(private=True), id="private-ed25519"),
        pytest.param(RSA.as_dict(private=True), id="private-rsa"),
        pytest.param(OctKey.generate_key(256).as_dict(private=True), id="symmetric"),
        pytest.param(small_rsa(), id="rsa-1024"),
        pytest.param(rsa_number((1 << 4097) + 1), id="rsa-4098"),
        pytest.param(rsa_number(RSA.public_key.public_numbers().n, 3), id="rsa-exponent-3"),
        pytest.param(rsa_number(RSA.public_key.public_numbers().n, 65538), id="rsa-even-exponent"),
        pytest.param(rsa_number(roca_modulus()), id="roca"),
        pytest.param(rsa_number(3 * ((1 << 2047) // 3 + 2) | 1), id="rsa-factor"),
        pytest.param(public(ECKey.generate_key("P-521")), id="p-521"),
        pytest.param(public(OKPKey.generate_key("X25519")), id="x25519"),
        pytest.param(public(ED25519, use="enc"), id="use-enc"),
        pytest.param(public(ED25519, key_ops=["sign"]), id="key-ops-sign"),
        pytest.param(public(ED25519, key_ops="verify"), id="key-ops-text"),
        pytest.param(public(ED25519, alg="EdDSA"), id="deprecated-alg"),
        pytest.param(public(ED25519, alg="ES256"), id="alg-of-another-key"),
        pytest.param(public(ED25519, kid=""), id="kid-empty"),
        pytest.param(public(ED25519, kid=7), id="kid-number"),
        pytest.param(public(ED25519, kid="k" * 256), id="kid-long"),
        pytest.param(public(P256, x=b64u(b"\1" * 32)), id="off-the-curve"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": b64u(bytes(32))}, id="small-order-0"),
        pytest.param(
            {"kty": "OKP", "crv": "Ed25519", "x": b64u(b"\1" + bytes(31))}, id="small-order-1"
        ),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": b64u(b"\xff" * 32)}, id="not-canonical"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": "ab"}, id="short"),
        pytest.param({"kty": ["OKP"]}, id="kty-list"),
        pytest.param({}, id="empty"),
        pytest.param([], id="list"),
        pytest.param(None, id="none"),
    ],
)
def test_refused(jwk: Any) -> None:
    with pytest.raises(KeyRefused):
        admit(jwk)


def test_a_key_of_the_roca_family_is_refused_for_that_and_nothing_else() -> None:
    with pytest.raises(KeyRefused, match="broken generator"):
        admit(rsa_number(roca_modulus()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v), max_leaves=4
)
members = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops", "z"])


@given(
    st.dictionaries(members, json_values)
    | st.builds(
        lambda base, changes: {**base, **changes},
        st.sampled_from([public(ED25519), public(P256), public(RSA)]),
        st.dictionaries(members, json_values, min_size=1, max_size=2),
    )
)
def test_any_value_is_admitted_or_refused(jwk: Any) -> None:
    with contextlib.suppress(KeyRefused):
        assert admit(jwk).algorithm in DEFAULT_ALGORITHMS
