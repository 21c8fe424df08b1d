from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.authorization_server import TokenAnswer, TokenEvent
from gateway.identity.errors import InvalidToken, OAuthRefusal
from gateway.identity.metadata import resource_metadata, server_metadata
from gateway.identity.records import SCOPES
from gateway.identity.token_exchange import EXCHANGE
from gateway.identity.token_grant import TOKEN_PATH

from .fakes import ED25519, NOW, OTHER, RSA, URL, World, assertion, basic, proof

GRANT = {"grant_type": "client_credentials"}


def ask(world: World, dpop: bytes | None = None, **form: str) -> TokenAnswer:
    return world.server.token_response({**GRANT, **form}, basic(), dpop)


def token_proof(key: Any = ED25519, **options: Any) -> bytes:
    return proof(key, "POST", URL + TOKEN_PATH, **options)


def error(answer: TokenAnswer) -> str:
    assert answer.refusal is not None
    assert answer.body == {}
    return answer.refusal.error


def test_a_bearer_token_for_five_minutes() -> None:
    world = World()
    answer = ask(world)
    assert answer.refusal is None
    token = answer.body["access_token"]
    assert dict(answer.body) == {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "infer models",
    }
    called = world.authenticator.authenticate(f"Bearer {token}".encode(), None, "GET", "/")
    made = asyncio.run(called)
    assert made.expires == int(NOW) + 300
    assert answer.event == TokenEvent(
        "issueToken", "north", "service", "allow", "ok", made.token_id
    )


@pytest.mark.parametrize("scope", ["infer ", " infer", "infer  infer", "  infer   "])
def test_issue_8_6_blanks_around_a_scope_ask_for_nothing_more(scope: str) -> None:
    """RFC 6749, section 3.3: `scope-token *( SP scope-token )`; see `granted_scopes`."""
    assert ask(World(), scope=scope).body["scope"] == "infer"


def test_the_scope_that_is_asked_for() -> None:
    assert ask(World(), scope="infer").body["scope"] == "infer"
    assert ask(World(), scope="models infer").body["scope"] == "infer models"


@pytest.mark.parametrize("scope", ["admin", "infer admin", "", " ", "infer\tmodels", "INFER", "é"])
def test_more_scope_than_is_registered_is_refused(scope: str) -> None:
    answer = ask(World(), scope=scope)
    assert error(answer) == "invalid_scope"
    assert answer.event == TokenEvent("issueToken", "north", "service", "deny", "invalid_scope")


def test_a_client_without_scopes_gets_no_token() -> None:
    world = World()
    world.clients.update(replace(world.service, scopes=frozenset()))
    assert error(ask(world)) == "invalid_scope"


def test_the_resource_is_the_gateway() -> None:
    assert ask(World(), resource=URL).refusal is None
    assert error(ask(World(), resource="https://other.example")) == "invalid_target"


@pytest.mark.parametrize("resource", [URL + "/", URL + ":443", URL + ":443/", URL.upper()])
def test_issue_8_6_an_equivalent_uri_is_the_same_resource(resource: str) -> None:
    """RFC 3986, sections 6.2.2 and 6.2.3: an empty path is `/`."""
    assert ask(World(), resource=resource).refusal is None


@pytest.mark.parametrize(
    "resource",
    [URL + "//", URL + "/v2", URL + "?", URL + "/#", URL + ":8443", "http" + URL[5:], "é", "[",
     URL.replace("://", "://user@"), URL + ":99999", URL + ".", "//gateway.example"],
)  # fmt: skip
def test_another_uri_is_another_resource(resource: str) -> None:
    assert error(ask(World(), resource=resource)) == "invalid_target"


@pytest.mark.parametrize("key", [ED25519, RSA], ids=lambda k: k.key_type)
def test_a_bound_token(key: Any) -> None:
    world = World()
    answer = world.server.token_response(assertion(ED25519), None, token_proof(key))
    assert answer.body["token_type"] == "DPoP"
    token = str(answer.body["access_token"])
    made = asyncio.run(
        world.authenticator.authenticate(
            f"DPoP {token}".encode(), proof(key, "GET", URL + "/", token), "GET", "/"
        )
    )
    assert made.binding == "dpop"


def test_a_proof_that_is_sent_is_always_bound() -> None:
    assert ask(World(), dpop=token_proof()).body["token_type"] == "DPoP"


def test_a_client_that_must_bind_gets_nothing_without_a_proof() -> None:
    answer = World().server.token_response(assertion(ED25519), None, None)
    assert error(answer) == "invalid_dpop_proof"
    assert answer.event == TokenEvent(
        "issueToken", "north", "machine", "deny", "invalid_dpop_proof"
    )


@pytest.mark.parametrize(
    "dpop",
    [
        b"",
        b"nonsense",
        token_proof(htm="GET"),
        token_proof(htu=URL + "/other"),
        token_proof(iat=int(NOW) - 61),
        token_proof(header={"jwk": OTHER.as_dict(private=False)}),
    ],
)
def test_a_bad_proof_is_refused(dpop: bytes) -> None:
    assert error(ask(World(), dpop=dpop)) == "invalid_dpop_proof"


def test_a_proof_is_good_for_one_token() -> None:
    world = World()
    made = token_proof()
    assert ask(world, dpop=made).refusal is None
    assert error(ask(world, dpop=made)) == "invalid_dpop_proof"


def test_a_stranger_cannot_fill_the_proof_cache() -> None:
    world = World()
    made = token_proof()
    answer = world.server.token_response(GRANT, basic(secret="wrong"), made)
    assert error(answer) == "invalid_client"
    assert answer.event is None
    assert ask(world, dpop=made).refusal is None


@pytest.mark.parametrize(
    "grant", ["", "password", "authorization_code", "refresh_token", "implicit", "é"]
)
def test_there_is_one_grant(grant: str) -> None:
    assert error(ask(World(), grant_type=grant)) == "unsupported_grant_type"
    assert error(World().server.token_response({}, basic(), None)) == "invalid_request"


def test_a_disabled_client_gets_no_token() -> None:
    world = World()
    world.revocation_state.save_client(replace(world.service, disabled=True))
    assert error(ask(world)) == "invalid_client"


def test_no_log_line_holds_a_token_a_secret_or_its_hash(caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        world = World()
        token = str(ask(world).body["access_token"])
        ask(world, scope="admin")
    assert token not in caplog.text
    assert "secret" not in caplog.text


def test_a_refusal_repeats_nothing_that_was_sent() -> None:
    for form in ({"grant_type": "ec\u043bho"}, {"scope": "echo"}, {"resource": "echo"}):
        refused = ask(World(), None, **form).refusal
        assert refused is not None
        assert "ho" not in refused.public.replace("who", "")


def test_a_client_revokes_its_token() -> None:
    world = World()
    token = str(ask(world).body["access_token"])
    revocation = world.server.read_revocation({"token": token}, basic())
    assert revocation is not None
    authorization = f"Bearer {token}".encode()
    made = asyncio.run(world.authenticator.authenticate(authorization, None, "GET", "/"))
    assert (revocation.client.id, revocation.claims.token_id) == ("service", made.token_id)
    claims = revocation.claims
    for _ in range(2):
        world.server.revoke(claims.issuer, claims.token_id, claims.expires)
    with pytest.raises(InvalidToken):
        asyncio.run(world.authenticator.authenticate(authorization, None, "GET", "/"))


def test_a_client_cannot_revoke_the_token_of_another() -> None:
    world = World()
    with pytest.raises(OAuthRefusal) as refused:
        world.server.read_revocation({"token": world.bound()}, basic())
    assert refused.value.error == "invalid_grant"
    assert world.revocations.revoked(0) == {}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", World().bearer(), "\ud800"])
def test_what_is_no_token_of_ours_is_as_good_as_revoked(token: str) -> None:
    assert World().server.read_revocation({"token": token}, basic()) is None


def test_an_expired_token_needs_no_record() -> None:
    world = World()
    token = world.bearer()
    world.clock.now = NOW + 301
    revocation = world.server.read_revocation({"token": token}, basic())
    assert revocation is not None
    claims = revocation.claims
    world.server.revoke(claims.issuer, claims.token_id, claims.expires)
    assert world.revocations.revoked(0) == {}


def test_revoking_needs_a_client_and_a_token() -> None:
    with pytest.raises(OAuthRefusal) as refused:
        World().server.read_revocation({"token": "x"}, basic(secret="wrong"))
    assert refused.value.error == "invalid_client"
    with pytest.raises(OAuthRefusal) as refused:
        World().server.read_revocation({}, basic())
    assert refused.value.error == "invalid_request"


def test_the_metadata_names_only_what_works() -> None:
    made = server_metadata(URL)
    assert made["issuer"] == URL
    assert made["grant_types_supported"] == ["client_credentials", EXCHANGE]
    assert set(made["scopes_supported"]) == SCOPES
    assert {name for name in made if name.endswith("_endpoint")} == {
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
    }
    resource = resource_metadata(URL, (URL, "https://provider.example"))
    assert resource["resource"] == URL
    assert resource["authorization_servers"] == [URL, "https://provider.example"]


SHARED = World()
fields = st.sampled_from(["grant_type", "scope", "resource", "client_id", "client_secret", "token"])


@given(
    st.dictionaries(fields, st.text() | st.just("client_credentials") | st.just("service")),
    st.none() | st.binary() | st.just(basic()),
    st.none() | st.binary(),
)
def test_any_request_is_answered(
    form: dict[str, str], authorization: bytes | None, dpop: bytes | None
) -> None:
    answer = SHARED.server.token_response(form, authorization, dpop)
    assert (answer.refusal is None) == bool(answer.body)
    with contextlib.suppress(OAuthRefusal):
        assert SHARED.server.read_revocation(form, authorization) is None
