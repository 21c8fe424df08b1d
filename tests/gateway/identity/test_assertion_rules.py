"""Which assertions each profile takes, as stock libraries make them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc.jwk import RSAKey

from gateway.identity.assertion_rules import Profile, rules_of
from gateway.identity.client_assertions import ASSERTION_TYPE
from gateway.identity.errors import OAuthRefusal
from gateway.identity.metadata import server_metadata

from .fakes import ED25519, NOW, P256, RSA, URL, World, assertion, sign

TOKEN = URL + "/oauth/token"
RSA4096 = RSAKey.generate_key(4096)


def place(key: Any = ED25519, profile: Profile = "rfc7523", **members: Any) -> World:
    world = World(profile=profile)
    jwk = {**key.as_dict(private=False), **members}
    world.clients.update(replace(world.machine, jwks={"keys": [jwk]}))
    return world


def accepted(form: dict[str, str], world: World) -> bool:
    told = rules_of(world.server.profile, URL).advice
    try:
        return world.client_authenticator.authenticate(form, None).id == "machine"
    except OAuthRefusal as refusal:
        if refusal.public != told:
            raise
        return False


AUDIENCES = [URL, URL + "/", TOKEN, [URL], [URL, TOKEN], [URL + "/", TOKEN], URL + "/oauth/revoke"]


@pytest.mark.parametrize("audience", AUDIENCES, ids=str)
def test_issue_8_5_audiences_of_stock_clients(audience: Any) -> None:
    form = assertion(ED25519, aud=audience)
    assert accepted(form, place())
    assert accepted(assertion(ED25519, aud=audience), place(profile="fapi2")) == (audience == URL)


STRANGE: list[Any] = [
    ..., None, "", [], [URL, "https://other.example"], "https://other.example", [URL, 5], {"a": 1},
    [URL] * 9, URL + "/oauth", URL.upper(), URL + "/oauth/token/", TOKEN + "?x",
]  # fmt: skip


@pytest.mark.parametrize("audience", STRANGE, ids=str)
@pytest.mark.parametrize("profile", ["rfc7523", "fapi2"])
def test_an_assertion_that_somebody_else_could_present_is_refused(
    audience: Any, profile: Profile
) -> None:
    assert not accepted(assertion(ED25519, aud=audience), place(profile=profile))


@pytest.mark.parametrize("seconds", [300, 301, 600, 3600])
def test_issue_8_5_five_minutes_and_more(seconds: int) -> None:
    form = assertion(ED25519, exp=int(NOW) + seconds)
    assert accepted(form, place())
    assert accepted(form, place(profile="fapi2")) == (seconds <= 301)


@pytest.mark.parametrize("key", [RSA, RSA4096], ids=["2048", "4096"])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
@pytest.mark.parametrize("named", [True, False], ids=["alg", "no-alg"])
def test_issue_8_5_rsa_keys_of_stock_clients(key: Any, algorithm: str, named: bool) -> None:
    members: dict[str, Any] = {"alg": algorithm} if named else {}
    form = assertion(key)
    claims = {"iss": "machine", "sub": "machine", "aud": TOKEN, "exp": int(NOW) + 300}
    text = sign({"alg": algorithm}, {**claims, "jti": "a-long-one"}, key, algorithm)
    assert accepted({**form, "client_assertion": text}, place(key, **members))
    strict = sign({"alg": algorithm}, {**claims, "aud": URL, "jti": "another"}, key, algorithm)
    took = accepted({**form, "client_assertion": strict}, place(key, "fapi2", **members))
    assert took == (algorithm == "PS256")


def test_a_key_verifies_no_algorithm_but_the_one_that_it_names() -> None:
    text = sign({"alg": "RS256"}, {}, RSA, "RS256")
    assert not accepted({**assertion(RSA), "client_assertion": text}, place(RSA, alg="PS256"))


def test_ed25519_goes_by_its_older_name_too() -> None:
    form = assertion(ED25519, header={"alg": "EdDSA"})
    claims = {"iss": "machine", "sub": "machine", "aud": URL, "exp": int(NOW) + 60}
    text = sign({"alg": "EdDSA"}, {**claims, "jti": "a-long-one"}, ED25519, "EdDSA")
    for profile in ("rfc7523", "fapi2"):
        assert accepted({**form, "client_assertion": text}, place(profile=profile))
    assert accepted({**form, "client_assertion": text}, place(alg="EdDSA"))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "PS256"), (P256, "ES256")],
    ids=["RS256", "PS256", "ES256"],
)
def test_issue_8_5_authlib_signs_for_an_hour_at_the_token_endpoint(
    key: Any, algorithm: str
) -> None:
    world = place(key)
    made = private_key_jwt_sign(key, "machine", TOKEN, alg=algorithm)
    world.clock.now = time.time()
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": made}
    assert accepted(form, world)
    assert not accepted(form, world), "it counts once"


def test_a_long_assertion_counts_once_in_all_its_life() -> None:
    world = place()
    form = assertion(ED25519, exp=int(NOW) + 3600)
    undated = assertion(ED25519, exp=int(NOW) + 3600, iat=...)
    assert accepted(form, world)
    assert accepted(undated, world)
    for later in (1, 290, 320, 3599):
        world.clock.now = NOW + later
        assert not accepted(form, world)
        assert not accepted(undated, world)


def test_metadata_and_refusals_say_which_rules_hold() -> None:
    loose, strict = server_metadata(URL), server_metadata(URL, "fapi2")
    name = "token_endpoint_auth_signing_alg_values_supported"
    assert "RS256" in loose[name]
    assert "RS256" not in strict[name]
    assert strict["sealgate_oauth_profile"] == "fapi2"
    assert strict["sealgate_client_assertion_audiences"] == [URL]
    assert TOKEN in loose["sealgate_client_assertion_audiences"]
    assert "fapi2" in rules_of("fapi2", URL).advice
    assert "token endpoint" in rules_of("rfc7523", URL).advice


@pytest.mark.parametrize("profile", ["rfc7523", "fapi2"])
def test_issue_8_6_authlibs_validator_takes_the_metadata(profile: Profile) -> None:
    AuthorizationServerMetadata(server_metadata(URL, profile)).validate()
