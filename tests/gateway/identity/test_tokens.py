from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.identity.errors import InvalidToken
from gateway.identity.signed import MAX_COMPACT
from gateway.identity.tokens import (
    TOKEN_SECONDS,
    AccessClaims,
    TokenMinter,
    parse_access_token,
    read_access_token,
)
from gateway.identity.trust import IssuerTrust

from .fakes import NOW, URL, Clock, World, b64u

world = World()
KEY = world.token_key


def read(token: bytes, now: float = NOW, **options: Any) -> AccessClaims:
    _, _, unverified = parse_access_token(token)
    return read_access_token(unverified, KEY, world.minter.trust, now, **options)


def test_a_minted_token_says_what_it_should() -> None:
    minted = world.minter.mint(world.machine, frozenset({"models", "infer"}), "thumb")
    claims = read(minted.text.encode())
    assert claims == AccessClaims(
        issuer=URL,
        subject="machine",
        client_id="machine",
        token_id=minted.token_id,
        issued=int(NOW),
        expires=int(NOW) + TOKEN_SECONDS,
        scopes=frozenset({"infer", "models"}),
        tenant="north",
        thumbprint="thumb",
        authenticated=int(NOW),
        confirmation={"jkt": "thumb"},
    )


def test_a_client_that_is_let_in_again_this_very_second_has_tokens_that_count() -> None:
    """They were refused until the second was over, as those of before are told by it."""
    machine = replace(world.machine, not_before=int(NOW) + 1)
    claims = read(world.minter.mint(machine, frozenset({"infer"})).text.encode())
    assert claims.issued == machine.not_before
    assert claims.expires == claims.issued + TOKEN_SECONDS


def test_the_header_is_that_of_rfc_9068_with_the_name_of_rfc_9864() -> None:
    _, kid, unverified = parse_access_token(world.bearer().encode())
    assert unverified.header == {"typ": "at+jwt", "alg": "Ed25519", "kid": kid}
    assert [jwk["kid"] for jwk in world.token_keys.jwks["keys"]] == [kid]
    assert all("d" not in jwk for jwk in world.token_keys.jwks["keys"])


def test_token_ids_differ() -> None:
    assert len({world.minter.mint(world.service, frozenset()).token_id for _ in range(9)}) == 9


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "client_id", "iat", "exp", "jti", "tenant"])
def test_what_is_missing_is_refused(claim: str) -> None:
    with pytest.raises(InvalidToken):
        read(world.forged(drop=claim))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(NOW)},
        {"exp": int(NOW) - 1},
        {"exp": "soon"},
        {"exp": True},
        {"exp": None},
        {"exp": -1},
        {"exp": 10**400},
        {"exp": int(NOW) + 301},
        {"iat": int(NOW) + 6, "exp": int(NOW) + 100},
        {"iat": "now"},
        {"iat": [int(NOW)]},
        {"nbf": int(NOW) + 6},
        {"nbf": "later"},
        {"auth_time": "yesterday"},
        {"aud": ""},
        {"aud": []},
        {"aud": "https://other.example"},
        {"aud": [URL, 5]},
        {"aud": {"a": URL}},
        {"aud": URL + "/"},
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": "\ud800"},
        {"client_id": ["service"]},
        {"jti": ""},
        {"jti": None},
        {"tenant": 7},
        {"scope": ["infer"]},
        {"scope": 'a"b'},
        {"scope": " ".join(f"s{n}" for n in range(65))},
        {"cnf": None},
        {"cnf": {}},
        {"cnf": {"x5t#S256": 5}},
        {"cnf": {"x5t#S256": "a", "jkt": "b"}},
        {"cnf": {"x5t": "a"}},
        {"cnf": {"jkt": "a", "jwk": {}}},
        {"cnf": {"jkt": 5}},
    ],
    ids=str,
)
def test_what_is_wrong_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        read(world.forged(**claims))


def test_a_clock_that_is_a_little_ahead_is_forgiven() -> None:
    assert read(world.forged(iat=int(NOW) + 5, nbf=int(NOW) + 5)).issued == int(NOW) + 5


def test_an_expired_token_can_be_read_for_revoking_only() -> None:
    token = world.bearer().encode()
    with pytest.raises(InvalidToken):
        read(token, NOW + TOKEN_SECONDS)
    assert read(token, NOW + TOKEN_SECONDS, expired_too=True).client_id == "service"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": ["at+jwt"]},
        {"typ": "dpop+jwt"},
        {"alg": "ES256"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "EdDSA"},
        {"alg": None},
        {"alg": ["Ed25519"]},
        {"crit": ["exp"]},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
        {"kid": 5},
        {"pad": "x" * 2048},
    ],
    ids=str,
)
def test_headers_that_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        read(world.forged(header))


def test_the_type_may_be_written_as_a_media_type() -> None:
    assert read(world.forged({"typ": "application/AT+JWT"})).client_id == "service"


def test_any_change_of_a_byte_is_refused() -> None:
    token = bytearray(world.bearer().encode())
    for at in range(0, len(token), 7):
        changed = bytearray(token)
        changed[at] = ord("A") if token[at] != ord("A") else ord("B")
        with pytest.raises(InvalidToken):
            read(bytes(changed))


def test_another_key_is_refused() -> None:
    stranger = World()
    with pytest.raises(InvalidToken):
        read(stranger.bearer().encode())


def test_a_key_outside_the_allow_list_of_the_issuer_is_refused() -> None:
    trust = IssuerTrust(
        issuer=URL,
        audience=URL,
        allowed_tenants=frozenset(),
        algorithms=frozenset({"ES256"}),
        tenant_claim="tenant",
    )
    _, _, unverified = parse_access_token(world.bearer().encode())
    with pytest.raises(InvalidToken):
        read_access_token(unverified, KEY, trust, NOW)


def test_a_token_is_not_read_under_the_entry_of_another_issuer() -> None:
    trust = replace(world.minter.trust, issuer="https://other.example")
    _, _, unverified = parse_access_token(world.bearer().encode())
    with pytest.raises(InvalidToken):
        read_access_token(unverified, KEY, trust, NOW)


def _ordered(value: Any) -> Any:
    """Sets print in another order in each process, and a case has one name."""
    return sorted(value) if isinstance(value, frozenset) else value


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ""},
        {"algorithms": frozenset()},
        {"algorithms": frozenset({"HS256"})},
        {"algorithms": frozenset({"none"})},
        {"algorithms": frozenset({"RS256", "RS512"})},
        {"issuer": "http://issuer.example"},
        {"issuer": "http://127.0.0.1:80"},
        {"issuer": "issuer.example"},
        {"issuer": "https://"},
        {"issuer": "https://user@issuer.example"},
        {"issuer": "https://issuer.example?a=b"},
        {"issuer": "https://[1"},
        {"issuer": "http://10.0.0.1", "loopback_http": True},
        {"issuer": "http://localhost.evil.example", "loopback_http": True},
        {"jwks_uri": "http://issuer.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"max_token_seconds": 0},
        {"max_token_seconds": 100_801},
        {"leeway_seconds": -1},
        {"leeway_seconds": 301},
        {"tenant_names": {"a": "north"}, "tenant_claim": "tid"},
    ],
    ids=lambda changes: str({key: _ordered(value) for key, value in changes.items()}),
)
def test_a_trust_entry_that_switches_a_check_off_cannot_be_made(changes: dict[str, Any]) -> None:
    entry: dict[str, Any] = {
        "issuer": "https://issuer.example",
        "audience": URL,
        "allowed_tenants": frozenset(),
        "algorithms": frozenset({"ES256"}),
    }
    IssuerTrust(**entry)
    with pytest.raises(ConfigurationError):
        IssuerTrust(**{**entry, **changes})


@pytest.mark.parametrize(
    "issuer",
    [URL + "/", URL + "/as", "http://x"],
)
def test_a_minter_that_is_not_safe_cannot_be_made(issuer: str) -> None:
    keys = world.token_keys
    with pytest.raises(ConfigurationError):
        TokenMinter(issuer, URL, keys, clock=Clock(), random_bytes=lambda n: bytes(n))


def test_loopback_http_is_for_those_who_ask_for_it() -> None:
    minter = TokenMinter(
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080",
        world.token_keys,
        clock=Clock(),
        random_bytes=lambda n: bytes(n),
        loopback_http=True,
    )
    assert minter.trust.issuer == "http://127.0.0.1:8080"


segments = st.binary(max_size=80).map(b64u) | st.text(max_size=20)
json_text = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3),
    max_leaves=6,
).map(lambda value: b64u(json.dumps(value).encode()))


@given(
    st.binary(max_size=400)
    | st.lists(segments | json_text, min_size=2, max_size=5).map(
        lambda parts: ".".join(parts).encode("utf-8", "replace")
    )
)
def test_any_bytes_are_refused_as_ours(token: bytes) -> None:
    with pytest.raises(InvalidToken):
        read(token)


claim_names = st.sampled_from(
    ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "cnf", "auth_time", "tenant"]
)
claim_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text(), max_size=2)
)


@given(st.dictionaries(claim_names, claim_values, max_size=4))
def test_any_signed_claims_are_claims_or_our_error(claims: dict[str, Any]) -> None:
    token = world.forged(**claims)
    try:
        assert isinstance(read(token), AccessClaims)
    except InvalidToken:
        assert claims


def test_long_input_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(InvalidToken):
        read(b"A" * (MAX_COMPACT + 1))
    with pytest.raises(InvalidToken):
        read(b"." * MAX_COMPACT)
