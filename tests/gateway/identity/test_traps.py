"""Traps of the libraries and past vulnerabilities of their kind, each kept shut by name."""

from __future__ import annotations

import asyncio
import hmac
import json
import warnings
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.errors import ConfigurationError
from gateway.identity.errors import (
    InvalidToken,
    KeyRefused,
    OAuthRefusal,
    SignatureRefused,
)
from gateway.identity.key_admission import admit
from gateway.identity.key_sets import admit_set
from gateway.identity.metadata import server_metadata
from gateway.identity.signed import parse, verify
from gateway.identity.tokens import parse_access_token, read_access_token
from gateway.identity.trust import IssuerTrust

from .fakes import ED25519, NOW, OTHER, RSA, URL, World, assertion, b64u, basic, proof, sign

world = World()
KEY = world.token_key


def read(token: bytes) -> Any:
    return read_access_token(parse_access_token(token)[2], KEY, world.minter.trust, NOW)


def call(authorization: bytes, dpop: bytes | None = None) -> Any:
    return asyncio.run(world.authenticator.authenticate(authorization, dpop, "GET", "/"))


# The traps of the libraries.


@pytest.mark.parametrize("key", [ED25519, RSA], ids=["Ed25519", "PS256"])
def test_trap_1_our_algorithms_work_in_all_three_places(key: Any) -> None:
    here = World()
    here.clients.update(replace(here.machine, jwks={"keys": [key.as_dict(private=False)]}))
    made = proof(key, "POST", URL + "/oauth/token")
    answer = here.server.token_response(assertion(key), None, made)
    assert answer.refusal is None
    token = str(answer.body["access_token"])
    checked = here.authenticator.authenticate(
        f"DPoP {token}".encode(), proof(key, "GET", URL + "/", token), "GET", "/"
    )
    assert asyncio.run(checked).client_id == "machine"


def test_trap_2_an_empty_list_of_algorithms_is_not_a_default_set() -> None:
    with pytest.raises(ConfigurationError):
        IssuerTrust(URL, URL, frozenset(), frozenset())
    with pytest.raises(KeyRefused):
        admit(ED25519.as_dict(private=False), frozenset())


def test_trap_3_a_proof_with_the_largest_rsa_key_fits_and_a_larger_header_does_not() -> None:
    assert JWSRegistry.max_header_length == 512, "the cap of the library has moved"
    large = RSAKey.generate_key(4096)
    made = proof(large, "POST", URL + "/oauth/token")
    assert len(made.split(b".")[0]) > 512
    assert world.proofs.check(made, "POST", "/oauth/token").thumbprint == large.thumbprint()
    with pytest.raises(SignatureRefused):
        parse(proof(large, "GET", URL, header={"pad": "x" * 1500}), frozenset({"dpop+jwt"}))


def test_trap_4_a_missing_expiry_another_type_and_repeated_names_are_refused() -> None:
    for token in (world.forged(drop="exp"), world.forged({"typ": "JWT"})):
        with pytest.raises(InvalidToken):
            read(token)
    own = OKPKey.import_key(world.key)
    header, payload, _ = world.forged().split(b".")
    claims = parse(world.forged(), frozenset({"at+jwt"})).claims
    twice = json.dumps(claims)[:-1] + ', "tenant": "south"}'
    head = json.dumps(dict(parse(world.forged(), frozenset({"at+jwt"})).header))
    with pytest.raises(InvalidToken):
        read(sign(head, twice, own).encode())
    with pytest.raises(InvalidToken):
        read(sign(head[:-1] + ', "alg": "Ed25519"}', json.dumps(claims), own).encode())
    assert read(sign(head, json.dumps(claims), own).encode())
    assert header
    assert payload


@pytest.mark.parametrize("crit", [True, ["b64"], ["exp"], [], {}, "exp", None, 5])
def test_trap_5_a_critical_header_of_any_type_is_our_401(crit: Any) -> None:
    with pytest.raises(InvalidToken):
        call(b"Bearer " + world.forged({"crit": crit}))


@pytest.mark.parametrize("part", [b"{", b"[]", b"5", b"null", b"\xff", b"[" * 3000, b'"\\ud800"'])
def test_trap_5_json_of_any_kind_is_our_401(part: bytes) -> None:
    good = world.forged().split(b".")
    for at in (0, 1):
        bad = list(good)
        bad[at] = b64u(part).encode()
        with pytest.raises(InvalidToken):
            call(b"Bearer " + b".".join(bad))


def test_trap_6_weak_keys_are_refused_and_mixed_sets_are_cleaned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weak = RSAKey.generate_key(1024).as_dict(private=False)
    secret = {"kty": "oct", "k": "c2hvcnQ"}
    for jwk in (weak, secret):
        with pytest.raises(KeyRefused):
            admit(jwk)
    jwks: list[dict[str, Any]] = [{**weak}, {**secret}, {**ED25519.as_dict()}]
    keys = [{**jwk, "kid": str(n)} for n, jwk in enumerate(jwks)]
    keys[2].pop("d", None)
    assert set(admit_set({"keys": keys}, frozenset({"Ed25519", "PS256"}))) == {"2"}


@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token"])
def test_traps_7_and_8_no_code_and_no_refresh_token_exist(grant: str) -> None:
    form = {"grant_type": grant, "code": "c", "refresh_token": "r", "code_verifier": "plain"}
    answer = world.server.token_response(form, basic(), None)
    assert answer.refusal is not None
    assert answer.refusal.error == "unsupported_grant_type"
    issued = world.server.token_response({"grant_type": "client_credentials"}, basic(), None)
    assert "refresh_token" not in issued.body
    assert "code_challenge_methods_supported" not in server_metadata(URL)
    assert "authorization_endpoint" not in server_metadata(URL)


def test_trap_9_the_method_has_its_registered_name_and_a_stranger_is_not_told_so() -> None:
    assert "private_key_jwt" in server_metadata(URL)["token_endpoint_auth_methods_supported"]
    answers = set()
    for form in (assertion(OTHER, "nobody"), assertion(OTHER, "machine")):
        with pytest.raises(OAuthRefusal) as refused:
            world.client_authenticator.authenticate(form, None)
        answers.add((refused.value.error, refused.value.public))
    assert len(answers) == 1


def test_trap_9_an_assertion_that_expired_a_second_ago_is_refused() -> None:
    with pytest.raises(OAuthRefusal):
        world.client_authenticator.authenticate(assertion(ED25519, exp=int(NOW) - 1), None)


def test_the_insecure_transport_switch_of_the_library_loosens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    for issuer in ("http://issuer.example", "http://127.0.0.1:8080"):
        with pytest.raises(ConfigurationError):
            IssuerTrust(issuer, URL, frozenset(), frozenset({"ES256"}))


# Past vulnerabilities.


def test_cve_2025_59420_an_unknown_critical_header_is_not_ignored() -> None:
    token = world.forged({"crit": ["policy"], "policy": "deny"})
    with pytest.raises(InvalidToken):
        read(token)
    with pytest.raises(OAuthRefusal):
        world.client_authenticator.authenticate(
            assertion(ED25519, header={"crit": ["policy"], "policy": "deny"}), None
        )


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_cve_2026_27962_a_key_in_the_header_is_not_trusted(name: str) -> None:
    """An attacker signs with their own key and sends it along."""
    attacker = OTHER.as_dict(private=False)
    value = {"jwk": attacker, "x5c": ["MIIB"]}.get(name, "https://evil.example/keys")
    claims = parse(world.forged(), frozenset({"at+jwt"})).claims
    for kid in ({}, {"kid": KEY.kid}, {"kid": OTHER.thumbprint()}):
        header = {"alg": "Ed25519", "typ": "at+jwt", name: value, **kid}
        with pytest.raises(InvalidToken):
            call(b"Bearer " + sign(header, dict(claims), OTHER).encode())


def test_cve_2026_27962_no_key_is_never_passed_on() -> None:
    unverified = parse(world.forged(), frozenset({"at+jwt"}))
    with pytest.raises(SignatureRefused):
        verify(unverified, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_cve_2026_28802_a_token_without_a_signature_is_refused(alg: str) -> None:
    for signature in (b"", b"AA", world.forged().split(b".")[2]):
        header, payload, _ = world.forged({"alg": alg}).split(b".")
        with pytest.raises(InvalidToken):
            call(b"Bearer " + b".".join((header, payload, signature)))
        made = proof(ED25519, "GET", URL + "/", header={"alg": alg}).split(b".")[:2]
        with pytest.raises(InvalidToken):
            call(b"DPoP " + world.forged({"alg": alg}), b".".join((*made, signature)))


@pytest.mark.parametrize("ath", [None, "", 0, False, [], {}])
def test_cve_2026_28498_a_hash_that_cannot_be_checked_fails(ath: Any) -> None:
    """A hash claim of another type or none at all once counted as checked."""
    token = world.bound()
    made = proof(ED25519, "GET", URL + "/", token, ath=ath)
    with pytest.raises(Exception, match="proof") as refused:
        call(b"DPoP " + token.encode(), made)
    assert refused.value.code == "invalid_dpop_proof"  # type: ignore[attr-defined]


def test_cve_2026_28498_a_hash_by_an_unknown_algorithm_fails() -> None:
    token = world.bound()
    made = proof(ED25519, "GET", URL + "/", token, header={"alg": "XX999"})
    with pytest.raises(Exception, match="proof"):
        call(b"DPoP " + token.encode(), made)


def test_cve_2026_27932_an_encrypted_token_is_refused_before_any_key_is_derived() -> None:
    """PBES2 lets the sender choose how long the receiver computes."""
    registry = jwe.JWERegistry(algorithms=["dir", "A128GCM"])
    key = OctKey.generate_key(128)
    encrypted = jwe.encrypt_compact({"alg": "dir", "enc": "A128GCM"}, b"{}", key, registry=registry)
    assert encrypted.count(".") == 4
    header = b64u(
        json.dumps({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31}).encode()
    )
    for token in (encrypted, header + ".a.b.c.d", header + ".e30.AA"):
        with pytest.raises(InvalidToken):
            call(b"Bearer " + token.encode())


def test_the_public_key_as_an_hmac_secret_opens_nothing() -> None:
    claims = dict(parse(world.forged(), frozenset({"at+jwt"})).claims)
    for secret in (RSA.as_bytes(private=False), world.key.public_key().public_bytes_raw()):
        header = {"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid}
        signed = ".".join(b64u(json.dumps(part).encode()) for part in (header, claims))
        mac = b64u(hmac.digest(secret, signed.encode(), "sha256"))
        with pytest.raises(InvalidToken):
            call(f"Bearer {signed}.{mac}".encode())


def test_a_proof_or_an_assertion_is_no_access_token() -> None:
    token = world.bound()
    for other in (
        proof(ED25519, "GET", URL + "/", token),
        assertion(ED25519)["client_assertion"].encode(),
    ):
        with pytest.raises(InvalidToken):
            call(b"Bearer " + other)
