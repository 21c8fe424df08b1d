from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from gateway.epoch_memo import UNKNOWN
from gateway.identity.authenticate import MEMO_CAPACITY, MEMO_SECONDS, Credentials
from gateway.identity.errors import (
    InvalidProof,
    InvalidToken,
    IssuerUnavailable,
    TokenMissing,
    Unauthenticated,
)
from gateway.identity.fetching import fetch_document
from gateway.identity.issuers import FRESH_SECONDS
from gateway.identity.principal import Principal
from gateway.identity.records import Tenant

from .fakes import ED25519, NOW, OTHER, URL, SecondIssuer, World, proof

PATH = "/v2/models/m/infer"
METADATA = f'resource_metadata="{URL}/.well-known/oauth-protected-resource"'


def call(world: World, authorization: Any, dpop: bytes | None = None) -> Principal:
    if isinstance(authorization, str):
        authorization = authorization.encode()
    return asyncio.run(world.authenticator.authenticate(authorization, dpop, "POST", PATH))


def bound_call(world: World, token: str, key: Any = ED25519, **claims: Any) -> Principal:
    made = proof(key, "POST", URL + PATH, token, **claims)
    return call(world, f"DPoP {token}", made)


def test_a_bearer_token_is_a_principal_and_is_remembered() -> None:
    world = World()
    token = world.bearer()
    first = call(world, f"Bearer {token}")
    assert (first.client_id, first.tenant, first.binding) == ("service", "north", "none")
    assert call(world, f"bearer {token}") is first
    counters = world.authenticator.counters
    assert (counters.hits, counters.misses, world.clients.reads) == (1, 1, 1)


@pytest.mark.parametrize("blanks", [1, 2, 3])
def test_issue_8_6_one_blank_or_more_stand_before_a_token(blanks: int) -> None:
    """RFC 6750, section 2.1, and RFC 9449, section 7.1: `1*SP`."""
    world = World()
    assert call(world, "Bearer" + " " * blanks + world.bearer()).client_id == "service"
    token = world.bound()
    made = proof(ED25519, "POST", URL + PATH, token)
    assert call(world, "DPoP" + " " * blanks + token, made).client_id == "machine"


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "Bearer   ", "Bearer\tx", " Bearer x"]
)
def test_what_is_not_in_the_grammar_is_no_token(authorization: str) -> None:
    with pytest.raises(TokenMissing):
        call(World(), authorization)


def test_a_bound_token_needs_a_fresh_proof_each_time() -> None:
    world = World()
    token = world.bound()
    made = proof(ED25519, "POST", URL + PATH, token)
    assert call(world, f"DPoP {token}", made).binding == "dpop"
    with pytest.raises(InvalidProof):
        call(world, f"DPoP {token}", made)
    assert bound_call(world, token).client_id == "machine"
    assert world.authenticator.counters.hits == 2


def test_bearer_use_of_a_bound_token_is_refused_remembered_or_not() -> None:
    world = World()
    token = world.bound()
    for _ in range(2):
        with pytest.raises(InvalidToken):
            call(world, f"Bearer {token}")
        with pytest.raises(InvalidToken):
            call(world, f"Bearer {token}", proof(ED25519, "POST", URL + PATH, token))
        bound_call(world, token)


def test_a_token_without_a_binding_is_not_accepted_as_bound() -> None:
    world = World()
    with pytest.raises(InvalidToken):
        bound_call(world, world.bearer())


def test_a_client_that_must_bind_is_not_accepted_with_a_bearer_token() -> None:
    world = World()
    token = world.minter.mint(world.machine, frozenset({"infer"})).text
    with pytest.raises(InvalidToken):
        call(world, f"Bearer {token}")


def test_the_proof_of_another_key_or_token_is_refused() -> None:
    world = World()
    token = world.bound()
    with pytest.raises(InvalidProof):
        bound_call(world, token, OTHER)
    with pytest.raises(InvalidProof):
        call(world, f"DPoP {token}", proof(ED25519, "POST", URL + PATH, world.bound()))
    with pytest.raises(InvalidProof):
        call(world, f"DPoP {token}")


@pytest.mark.parametrize(
    ("authorization", "error", "challenge"),
    [
        (None, TokenMissing, "DPoP algs="),
        (b"", TokenMissing, "DPoP algs="),
        (b"Bearer", TokenMissing, "DPoP algs="),
        (b"Bearer ", TokenMissing, "DPoP algs="),
        (b"Basic abc", TokenMissing, "DPoP algs="),
        (b"Bearer x.y.z", InvalidToken, 'Bearer error="invalid_token", '),
        (b"DPoP x.y.z", InvalidToken, 'DPoP error="invalid_token", algs='),
        (b"Bearer \xff", InvalidToken, 'Bearer error="invalid_token", '),
    ],
)
def test_a_refusal_says_how_to_authenticate(
    authorization: bytes | None, error: type[Unauthenticated], challenge: str
) -> None:
    world = World()
    with pytest.raises(error) as refusal:
        call(world, authorization)
    assert refusal.value.challenge.startswith(challenge)
    assert METADATA in refusal.value.challenge
    assert world.authenticator.refusals == {error.code: 1}


def test_a_refused_proof_asks_for_a_proof() -> None:
    world = World()
    with pytest.raises(InvalidProof) as refusal:
        call(world, f"DPoP {world.bound()}")
    assert refusal.value.challenge.startswith('DPoP error="invalid_dpop_proof", algs="ES256 ')


@pytest.mark.parametrize("name", [b"authorization", b"dpop"])
def test_a_repeated_header_is_refused(name: bytes) -> None:
    world = World()
    token = world.bearer().encode()
    headers = [(b"authorization", b"Bearer " + token), (b"host", b"x"), (name, b"a"), (name, b"b")]
    with pytest.raises(Unauthenticated):
        asyncio.run(world.authenticator.identify(Credentials(headers, "POST", PATH)))
    good = asyncio.run(world.authenticator.identify(Credentials(headers[:2], "POST", PATH)))
    assert good.client_id == "service"


def revoke_token(world: World) -> None:
    claims = call(world, f"Bearer {world.last}")  # type: ignore[attr-defined]
    world.revocation_state.revoke_token(URL, claims.token_id, claims.expires)


def disable_client(world: World) -> None:
    world.revocation_state.save_client(replace(world.service, disabled=True))


def suspend_tenant(world: World) -> None:
    world.revocation_state.save_tenant(Tenant("north", "North", "eu", suspended=True))


def demand_binding(world: World) -> None:
    world.revocation_state.save_client(replace(world.service, token_binding="dpop"))


@pytest.mark.parametrize("change", [revoke_token, disable_client, suspend_tenant, demand_binding])
def test_nothing_is_allowed_after_a_revocation_returned(change: Callable[[World], None]) -> None:
    world = World()
    token = world.last = world.bearer()  # type: ignore[attr-defined]
    assert call(world, f"Bearer {token}")
    change(world)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            call(world, f"Bearer {token}")


def test_a_change_of_roles_counts_at_once() -> None:
    world = World()
    token = world.bearer()
    assert call(world, f"Bearer {token}").roles == {"caller"}
    world.revocation_state.save_client(
        replace(world.service, roles=frozenset(), scopes=frozenset())
    )
    demoted = call(world, f"Bearer {token}")
    assert demoted.roles == demoted.scopes == frozenset()


def test_a_revocation_while_a_token_is_verified_leaves_nothing_remembered() -> None:
    world = World()
    token = world.bearer()
    look_up = world.revocation_state.look_up

    def revoked_meanwhile(client_id: str) -> Any:
        found = look_up(client_id)
        world.revocation_state.save_client(replace(world.service, disabled=True))
        return found

    world.revocation_state.look_up = revoked_meanwhile  # type: ignore[method-assign]
    call(world, f"Bearer {token}")  # it began before the revocation returned
    world.revocation_state.look_up = look_up  # type: ignore[method-assign]
    with pytest.raises(InvalidToken):
        call(world, f"Bearer {token}")


def test_a_remembered_token_expires() -> None:
    world = World()
    token = world.bearer()
    call(world, f"Bearer {token}")
    world.clock.now = NOW + MEMO_SECONDS
    call(world, f"Bearer {token}")
    assert world.authenticator.counters.misses == 2
    world.clock.now = NOW + 299.5
    call(world, f"Bearer {token}")
    world.clock.now = NOW + 300
    with pytest.raises(InvalidToken):
        call(world, f"Bearer {token}")


def test_a_principal_never_seems_younger_than_it_is() -> None:
    world = World()
    token = world.bearer()
    made = call(world, f"Bearer {token}")
    world.clock.now = NOW + MEMO_SECONDS - 1
    assert call(world, f"Bearer {token}") is made
    assert made.auth_age >= MEMO_SECONDS - 1


def test_the_memory_is_bounded() -> None:
    world = World()
    token = world.bearer()
    call(world, f"Bearer {token}")
    memory = world.authenticator._memo.now()
    entry = memory.get(hashlib.sha256(token.encode()).digest())
    assert entry is not UNKNOWN
    for n in range(MEMO_CAPACITY - 1):
        memory.keep(n.to_bytes(32, "big"), entry)
    call(world, f"Bearer {world.bearer()}")
    call(world, f"Bearer {token}")
    assert world.authenticator.counters.misses == 3


@given(st.binary(max_size=200), st.none() | st.binary(max_size=200))
def test_any_headers_are_a_principal_or_our_error(rest: bytes, dpop: bytes | None) -> None:
    for scheme in (b"", b"Bearer ", b"DPoP "):
        with pytest.raises(Unauthenticated):
            call(SHARED, scheme + rest, dpop)


SHARED = World()


# A second, real issuer.


class Foreign:
    """A world that trusts a running issuer, on one event loop."""

    def __init__(self, provider: SecondIssuer, **trust: Any) -> None:
        self.provider = provider
        self.http = httpx.AsyncClient(timeout=5, trust_env=False)
        self.world = World(
            provider.trust(**trust), fetch=lambda url: fetch_document(self.http, url)
        )

    async def call(self, token: bytes) -> Principal:
        return await self.world.authenticator.authenticate(b"Bearer " + token, None, "POST", PATH)


def with_provider(scenario: Any, **trust: Any) -> None:
    async def run(provider: SecondIssuer) -> None:
        foreign = Foreign(provider, **trust)
        async with foreign.http:
            await scenario(foreign)

    with SecondIssuer().running() as provider:
        asyncio.run(run(provider))


def test_a_token_of_a_trusted_issuer_is_the_registered_client() -> None:
    async def scenario(foreign: Foreign) -> None:
        made = await foreign.call(foreign.provider.token())
        assert made.issuer == foreign.provider.url
        assert (made.client_id, made.subject) == ("service", "subject-of-the-provider")
        assert made.scopes == {"infer"}
        assert made.roles == {"caller"}

    with_provider(scenario)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": URL},
        {"iss": "https://stranger.example"},
        {"client_id": "service"},
        {"client_id": "unknown"},
        {"aud": "https://other.example"},
        {"exp": int(NOW) + 3601},
    ],
)
def test_a_foreign_token_is_no_more_than_it_is(claims: dict[str, Any]) -> None:
    async def scenario(foreign: Foreign) -> None:
        with pytest.raises(InvalidToken):
            await foreign.call(foreign.provider.token(**claims))

    with_provider(scenario)


def test_an_issuer_names_only_the_tenants_it_is_trusted_for() -> None:
    async def scenario(foreign: Foreign) -> None:
        with pytest.raises(InvalidToken):
            await foreign.call(foreign.provider.token())

    with_provider(scenario, allowed_tenants=frozenset({"south"}))


def test_a_tenant_claim_must_agree_with_the_registration() -> None:
    async def scenario(foreign: Foreign) -> None:
        assert await foreign.call(foreign.provider.token(org="north"))
        for claims in ({"org": "south"}, {"org": ["north"]}, {}):
            with pytest.raises(InvalidToken):
                await foreign.call(foreign.provider.token(**claims))

    with_provider(scenario, tenant_claim="org")


def test_a_key_that_an_issuer_withdraws_ends_even_remembered_tokens() -> None:
    async def scenario(foreign: Foreign) -> None:
        token = foreign.provider.token()
        assert await foreign.call(token)
        new = ECKey.generate_key("P-256")
        foreign.provider.publish(new, kid="second")
        foreign.world.monotonic.now = FRESH_SECONDS
        assert await foreign.call(foreign.provider.token(new, "second", jti="foreign-2"))
        with pytest.raises(InvalidToken):
            await foreign.call(token)

    with_provider(scenario)


def test_a_foreign_token_can_be_revoked_and_its_namesake_is_not() -> None:
    async def scenario(foreign: Foreign) -> None:
        token = foreign.provider.token(jti="shared")
        revocation_state = foreign.world.revocation_state
        revocation_state.revoke_token(URL, "shared", int(NOW) + 600)
        assert await foreign.call(token)
        revocation_state.revoke_token(foreign.provider.url, "shared", int(NOW) + 600)
        with pytest.raises(InvalidToken):
            await foreign.call(token)

    with_provider(scenario)


def test_an_issuer_that_cannot_be_reached_is_a_fault_and_no_caller() -> None:
    async def scenario(foreign: Foreign) -> None:
        foreign.provider.documents.clear()
        with pytest.raises(IssuerUnavailable):
            await foreign.call(foreign.provider.token())

    with_provider(scenario)
