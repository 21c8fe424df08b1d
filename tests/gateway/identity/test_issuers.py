from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from gateway.errors import ConfigurationError
from gateway.identity.errors import InvalidToken, IssuerUnavailable
from gateway.identity.fetching import MAX_DOCUMENT, fetch_document
from gateway.identity.issuers import (
    COOL_DOWN_SECONDS,
    FRESH_SECONDS,
    STALE_SECONDS,
    FetchedKeys,
    Issuers,
)
from gateway.identity.trust import IssuerTrust

from .fakes import URL, Clock, SecondIssuer, World, no_fetch

TRUST = IssuerTrust(
    "https://provider.example",
    URL,
    frozenset({"north"}),
    frozenset({"ES256"}),
    jwks_uri="https://provider.example/keys",
)
FIRST, SECOND = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")


def jwks(**keys: Any) -> bytes:
    return json.dumps(
        {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in keys.items()]}
    ).encode()


class Provider:
    """Answers from memory, after as many turns of the loop as a test asks for."""

    def __init__(self) -> None:
        self.document = jwks(a=FIRST)
        self.down = False
        self.gate: asyncio.Event | None = None

    async def fetch(self, url: str) -> bytes:
        assert url == TRUST.jwks_uri
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise IssuerUnavailable
        return self.document


def cache() -> tuple[FetchedKeys, Provider, Clock]:
    provider, clock = Provider(), Clock(0.0)
    return FetchedKeys(TRUST, provider.fetch, clock), provider, clock


def test_many_callers_cause_one_fetch() -> None:
    async def scenario() -> None:
        keys, provider, _ = cache()
        provider.gate = asyncio.Event()
        waiting = [asyncio.create_task(keys.key("a")) for _ in range(200)]
        await asyncio.sleep(0)
        provider.gate.set()
        assert all(await asyncio.gather(*waiting))
        assert keys.fetches == 1

    asyncio.run(scenario())


def test_a_caller_who_hangs_up_does_not_cancel_the_fetch_of_the_others() -> None:
    async def scenario() -> None:
        keys, provider, _ = cache()
        provider.gate = asyncio.Event()
        first, second = (asyncio.create_task(keys.key("a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        provider.gate.set()
        assert await second is not None
        assert keys.fetches == 1

    asyncio.run(scenario())


def test_a_flood_of_unknown_ids_costs_one_fetch_in_a_cool_down() -> None:
    async def scenario() -> None:
        keys, _, clock = cache()
        for n in range(1000):
            assert await keys.key(f"unknown-{n}") is None
        assert keys.fetches == 1
        clock.now = COOL_DOWN_SECONDS
        for n in range(1000):
            assert await keys.key(f"unknown-{n}") is None
        assert keys.fetches == 2

    asyncio.run(scenario())


def test_a_new_key_is_found_and_a_withdrawn_one_is_gone() -> None:
    async def scenario() -> None:
        keys, provider, clock = cache()
        assert await keys.key("a") is not None
        provider.document = jwks(a=FIRST, b=SECOND)
        clock.now = COOL_DOWN_SECONDS
        assert await keys.key("b") is not None
        assert keys.generation == 0
        provider.document = jwks(b=SECOND)
        clock.now += FRESH_SECONDS
        assert await keys.key("a") is None
        assert keys.generation == 1

    asyncio.run(scenario())


def test_a_key_that_is_replaced_under_the_same_id_counts_as_withdrawn() -> None:
    async def scenario() -> None:
        keys, provider, clock = cache()
        assert await keys.key("a") is not None
        provider.document = jwks(a=SECOND)
        clock.now = FRESH_SECONDS
        found = await keys.key("a")
        assert found is not None
        assert found.thumbprint == SECOND.thumbprint()
        assert keys.generation == 1

    asyncio.run(scenario())


def test_an_outage_is_bridged_and_then_nothing_is_accepted() -> None:
    async def scenario() -> None:
        keys, provider, clock = cache()
        assert await keys.key("a") is not None
        provider.down = True
        clock.now = STALE_SECONDS - 1
        assert await keys.key("a") is not None
        clock.now = STALE_SECONDS
        with pytest.raises(IssuerUnavailable):
            await keys.key("a")
        provider.down = False
        clock.now += COOL_DOWN_SECONDS
        assert await keys.key("a") is not None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"keys": []}',
        b'{"keys": 5}',
        b'{"keys": [], "keys": []}',
        b"[" * 5000,
        json.dumps({"keys": [FIRST.as_dict(private=True)]}).encode(),
        jwks(a=FIRST) + b"x",
    ],
)
def test_a_bad_document_changes_nothing(document: bytes) -> None:
    async def scenario() -> None:
        keys, provider, clock = cache()
        assert await keys.key("a") is not None
        provider.document = document
        clock.now = FRESH_SECONDS
        assert await keys.key("a") is not None
        assert keys.fetches == 2

    asyncio.run(scenario())


def test_a_document_that_repeats_a_key_id_is_refused_as_a_whole() -> None:
    async def scenario() -> None:
        keys, provider, _ = cache()
        one, two = (json.loads(jwks(a=key))["keys"][0] for key in (FIRST, SECOND))
        provider.document = json.dumps({"keys": [one, two]}).encode()
        with pytest.raises(IssuerUnavailable):
            await keys.key("a")

    asyncio.run(scenario())


def test_an_issuer_that_nobody_trusts_is_not_asked() -> None:
    async def scenario() -> None:
        world = World(TRUST)
        with pytest.raises(InvalidToken):
            await world.issuers.key("https://stranger.example", "a")
        with pytest.raises(InvalidToken):
            await world.issuers.key(URL, "a")
        with pytest.raises(InvalidToken):
            await world.issuers.key(URL, None)

    asyncio.run(scenario())


def test_the_same_issuer_twice_does_not_start() -> None:
    for entries in ((TRUST, TRUST), (World().minter.trust,)):
        with pytest.raises(ConfigurationError):
            World(*entries)


def test_the_names_begin_with_our_own() -> None:
    own = World().minter
    issuers = Issuers(own.trust, own.keys, [TRUST], fetch=no_fetch, monotonic=Clock())
    assert issuers.names == (URL, TRUST.issuer)


# From here on over a real socket.


@pytest.fixture
def provider() -> Iterator[SecondIssuer]:
    with SecondIssuer().running() as running:
        yield running


def fetched(provider: SecondIssuer, kid: str = "first", **trust: Any) -> Any:
    async def scenario() -> Any:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            keys = FetchedKeys(
                provider.trust(**trust), lambda url: fetch_document(client, url), Clock(0.0)
            )
            return await keys.key(kid)

    return asyncio.run(scenario())


def test_keys_are_discovered(provider: SecondIssuer) -> None:
    assert fetched(provider).thumbprint == provider.key.thumbprint()
    assert provider.requests == ["/.well-known/openid-configuration", "/keys"]


def test_a_configured_address_needs_no_discovery(provider: SecondIssuer) -> None:
    assert fetched(provider, jwks_uri=provider.url + "/keys") is not None
    assert provider.requests == ["/keys"]


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
def test_large_bodies_redirects_and_errors_are_refused(provider: SecondIssuer, path: str) -> None:
    good = provider.documents[path]
    for bad in (
        (200, {}, good[2] + b" " * MAX_DOCUMENT),
        (302, {"Location": provider.url + "/elsewhere"}, b""),
        (500, {}, good[2]),
        (404, {}, good[2]),
    ):
        provider.documents["/elsewhere"] = good
        provider.documents[path] = bad
        with pytest.raises(IssuerUnavailable):
            fetched(provider)
    assert "/elsewhere" not in provider.requests


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"jwks_uri": "http://issuer.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 5},
        {"jwks_uri": "https://[1"},
    ],
)
def test_a_discovery_document_of_another_issuer_is_refused(
    provider: SecondIssuer, changes: dict[str, Any]
) -> None:
    made = {"issuer": provider.url, "jwks_uri": provider.url + "/keys", **changes}
    provider.put("/.well-known/openid-configuration", made)
    with pytest.raises(IssuerUnavailable):
        fetched(provider)
    assert "/keys" not in provider.requests


def test_an_issuer_that_is_not_there_is_unavailable() -> None:
    with SecondIssuer().running() as gone:
        pass
    with pytest.raises(IssuerUnavailable):
        fetched(gone)


def test_keys_that_cannot_be_had_say_when_they_are_asked_for_again() -> None:
    async def scenario() -> None:
        keys, provider, clock = cache()
        provider.down = True
        for waited in (0.0, 2.5):
            clock.now = waited
            with pytest.raises(IssuerUnavailable) as refused:
                await keys.key("a")
            again = int(refused.value.retry_after)
            assert again - 1 < COOL_DOWN_SECONDS - waited <= again
        provider.down = False
        clock.now = 2.5 + again
        assert await keys.key("a") is not None

    asyncio.run(scenario())
