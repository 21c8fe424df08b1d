"""RFC 9449 section 4.3: one test a check, by its number."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from gateway.errors import ConfigurationError
from gateway.identity.dpop import Proof, ProofChecker
from gateway.identity.errors import InvalidProof

from .fakes import ED25519, NOW, OTHER, P256, RSA, URL, Clock, b64u, proof, sign

TOKEN = "a.b.c"
PATH = "/v2/models/m/infer"


def checker(url: str = URL, **options: Any) -> ProofChecker:
    return ProofChecker(url, clock=Clock(), **options)


def check(value: bytes, token: str | None = TOKEN, method: str = "POST", path: str = PATH) -> Proof:
    return checker().check(value, method, path, token.encode() if token else None)


def good(key: Any = ED25519, **claims: Any) -> bytes:
    return proof(key, "POST", claims.pop("url", URL + PATH), TOKEN, **claims)


@pytest.mark.parametrize("key", [ED25519, P256, RSA], ids=lambda k: k.key_type)
def test_a_good_proof_names_its_key(key: Any) -> None:
    assert check(good(key)).thumbprint == key.thumbprint()


@pytest.mark.parametrize("value", [b"", b"a", b"a.b", b"..", b"\xff.\xff.\xff", b"a.b.c.d.e"])
def test_2_it_is_one_well_formed_object(value: bytes) -> None:
    with pytest.raises(InvalidProof):
        check(value)


def test_2_two_values_joined_by_a_comma_are_not_one() -> None:
    with pytest.raises(InvalidProof):
        check(good() + b", " + good())


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat", "ath"])
def test_3_all_claims_are_there(claim: str) -> None:
    with pytest.raises(InvalidProof):
        check(good(drop=claim))


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "", None, ["dpop+jwt"]])
def test_4_the_type_is_that_of_a_proof(typ: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(header={"typ": typ}))


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "EdDSA", "ES256", None, 5])
def test_5_the_algorithm_is_asymmetric_and_the_keys_own(alg: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(header={"alg": alg}))


def test_5_a_symmetric_key_is_refused() -> None:
    secret = OctKey.generate_key(256)
    claims = {"jti": "12345678", "htm": "POST", "htu": URL + PATH, "iat": int(NOW)}
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": secret.as_dict(private=True)}
    with pytest.raises(InvalidProof):
        check(sign(header, claims, secret, "HS256").encode(), token=None)


def test_6_the_signature_holds_under_the_key_in_the_proof() -> None:
    with pytest.raises(InvalidProof):
        check(good(header={"jwk": OTHER.as_dict(private=False)}))


@pytest.mark.parametrize("jwk", [ED25519.as_dict(private=True), None, "key", []])
def test_7_the_key_has_no_private_part(jwk: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(header={"jwk": jwk}))


@pytest.mark.parametrize("htm", ["GET", "post", "", None, ["POST"]])
def test_8_the_method_is_that_of_the_request(htm: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(htm=htm))


@pytest.mark.parametrize(
    "htu",
    [
        "https://other.example" + PATH,
        "https://gateway.example:8443" + PATH,
        "http://gateway.example" + PATH,
        URL + "/v2/models/other/infer",
        URL + "/v2/models/m%2Finfer",
        URL + PATH + "/",
        "https://user@gateway.example" + PATH,
        PATH,
        "https://gateway.example:port" + PATH,
        "https://[1" + PATH,
        "",
        None,
        7,
        URL + "/" + "a" * 2048,
    ],
)
def test_9_the_url_is_that_of_the_request(htu: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(htu=htu))


@pytest.mark.parametrize(
    "htu",
    [
        "HTTPS://GATEWAY.example:443" + PATH,
        URL + PATH + "?query=1#fragment",
        URL + "/v2/%6dodels/m/infer",
    ],
)
def test_9_what_rfc_3986_calls_equal_is_equal(htu: str) -> None:
    assert check(good(htu=htu))


def test_9_the_origin_is_the_configured_one() -> None:
    local = checker("http://127.0.0.1:8080")
    assert local.check(proof(ED25519, "GET", "http://127.0.0.1:8080/"), "GET", "/")
    with pytest.raises(InvalidProof):
        local.check(proof(ED25519, "GET", URL + "/"), "GET", "/")


@pytest.mark.parametrize("age", [-6, 61, 10**6, -(10**6)])
def test_11_old_and_future_proofs_are_refused(age: int) -> None:
    with pytest.raises(InvalidProof):
        check(good(iat=int(NOW) - age))


@pytest.mark.parametrize("iat", ["now", None, True, 10**400, -1, [int(NOW)]])
def test_11_the_time_is_a_time(iat: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(iat=iat))


@pytest.mark.parametrize("age", [-5, 0, 60])
def test_11_recent_proofs_are_accepted(age: int) -> None:
    assert check(good(iat=int(NOW) - age))


@pytest.mark.parametrize("ath", ["", "x", None, 5, "\u00e9", "\ud800"])
def test_12_the_proof_is_for_this_token(ath: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(ath=ath))


def test_12_the_hash_of_another_token_is_refused() -> None:
    other = b64u(hashlib.sha256(b"another").digest())
    with pytest.raises(InvalidProof):
        check(good(ath=other))


def test_12_the_key_is_the_one_the_token_is_bound_to() -> None:
    checking = checker()
    made = checking.check(good(), "POST", PATH, TOKEN.encode())
    with pytest.raises(InvalidProof):
        checking.use(made, "machine", OTHER.thumbprint())
    with pytest.raises(InvalidProof):
        checking.use(made, "machine", "thumb-\u00e9")
    checking.use(made, "machine", ED25519.thumbprint())


def test_a_proof_is_good_once_and_its_identifier_belongs_to_its_key() -> None:
    checking = checker()
    for key in (ED25519, P256):
        made = checking.check(good(key, jti="the-same-one"), "POST", PATH, TOKEN.encode())
        checking.use(made, "machine")
        with pytest.raises(InvalidProof):
            checking.use(made, "machine")


def test_a_replayed_proof_is_refused_until_it_is_too_old_anyway() -> None:
    clock = Clock()
    checking = ProofChecker(URL, clock=clock)
    value = good(iat=int(NOW) + 5)
    checking.use(checking.check(value, "POST", PATH, TOKEN.encode()), "machine")
    for clock.now in (NOW + 1, NOW + 60, NOW + 65):
        with pytest.raises(InvalidProof):
            checking.use(checking.check(value, "POST", PATH, TOKEN.encode()), "machine")
    clock.now = NOW + 66
    with pytest.raises(InvalidProof):
        checking.check(value, "POST", PATH, TOKEN.encode())


def test_a_full_cache_refuses() -> None:
    checking = checker(capacity=4)
    checking.use(checking.check(good(), "POST", PATH, TOKEN.encode()), "machine")
    with pytest.raises(InvalidProof):
        checking.use(checking.check(good(), "POST", PATH, TOKEN.encode()), "machine")


@pytest.mark.parametrize("jti", ["", "short", "x" * 129, None, 5, "\u00e9" * 10, "\ud800" * 10])
def test_identifiers_are_bounded_text(jti: Any) -> None:
    with pytest.raises(InvalidProof):
        check(good(jti=jti))


@pytest.mark.parametrize("url", ["", "gateway.example", "ftp://x", URL + "/path", "https://[1"])
def test_a_public_url_that_is_no_origin_does_not_start(url: str) -> None:
    with pytest.raises(ConfigurationError):
        checker(url)


def test_the_vector_of_rfc_9449() -> None:
    """The proof of section 7.1, with the token of the same request."""
    value = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0"
        "VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10"
        "NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjo"
        "iR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI"
        "6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2o"
        "W9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    )
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    checking = ProofChecker("https://resource.example.org", clock=Clock(1562262620.0))
    made = checking.check(value.encode(), "GET", "/protectedresource", token.encode())
    assert made.thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert made.identifier == "e1j3V_bKic8-LAEB"


@given(st.binary(max_size=300) | st.binary(max_size=200).map(base64.urlsafe_b64encode))
def test_any_bytes_are_refused_as_ours(value: bytes) -> None:
    with pytest.raises(InvalidProof):
        check(value)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(
    st.dictionaries(st.sampled_from(["jti", "htm", "htu", "iat", "ath"]), values),
    st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "kid", "crit"]), values),
)
def test_any_signed_proof_is_a_proof_or_our_error(
    claims: dict[str, Any], header: dict[str, Any]
) -> None:
    try:
        check(good(header=header, **claims))
    except InvalidProof:
        assert claims or header
