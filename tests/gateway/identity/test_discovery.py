"""Where an issuer says its keys are, and an issuer that is down, slow, lying or storming."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.discovery import Discovered, addresses, discover, read_discovery
from gateway.identity.errors import IssuerUnavailable
from gateway.identity.trust import IssuerTrust

from .fakes import URL

ISSUER = "https://login.example/realms/a"


def trust(issuer: str = ISSUER, **changes: Any) -> IssuerTrust:
    made: dict[str, Any] = {
        "issuer": issuer,
        "audience": URL,
        "allowed_tenants": frozenset({"north"}),
        "algorithms": frozenset({"RS256"}),
        **changes,
    }
    return IssuerTrust(**made)


def read(document: Any, **changes: Any) -> Discovered:
    return read_discovery(document, trust(**changes))


def document(**changes: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks", **changes}


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (
            "https://a.example",
            (
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://a.example/",
            (
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://a.example/x/y/",
            (
                "https://a.example/x/y/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/x/y",
            ),
        ),
    ],
)
def test_the_document_is_looked_for_where_both_standards_put_it(
    issuer: str, expected: tuple[str, str]
) -> None:
    assert addresses(issuer) == expected


def test_the_second_place_is_asked_only_when_there_is_nothing_at_the_first() -> None:
    async def scenario() -> list[str]:
        asked: list[str] = []

        async def fetch(url: str) -> bytes:
            asked.append(url)
            if "openid" in url:
                raise IssuerUnavailable
            return json.dumps(document()).encode()

        assert (await discover(trust(), fetch)).jwks_uri == "https://keys.example/jwks"
        return asked

    assert asyncio.run(scenario()) == list(addresses(ISSUER))


def test_keys_may_be_at_another_host_but_not_within_the_gateways_own_network() -> None:
    assert read(document()).jwks_uri == "https://keys.example/jwks"
    for address in (
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.5/keys",
        "https://[fd00::1]/keys",
        "https://127.0.0.1/keys",
        "https://localhost/keys",
        "https://db.localhost/keys",
        "http://keys.example/jwks",
        "https://user@keys.example/jwks",
        "file:///etc/passwd",
        "gopher://keys.example",
        "https://keys.example/jwks?a=b",
        "",
        None,
        ["https://keys.example/jwks"],
    ):
        with pytest.raises(IssuerUnavailable):
            read(document(jwks_uri=address))
    own = "https://10.0.0.5"  # an issuer within, which the operator named
    inside = {"issuer": own, "jwks_uri": own + "/keys"}
    assert read_discovery(inside, trust(own)).jwks_uri == own + "/keys"


def test_a_secret_goes_to_the_issuers_own_origin_only() -> None:
    own = "https://login.example/realms/a/introspect"
    assert read(document(introspection_endpoint=own)).introspection_endpoint == own
    for elsewhere in (
        "https://keys.example/introspect",
        "https://login.example:8443/introspect",
        "http://login.example/introspect",
        "https://login.example.evil.example/introspect",
        5,
        None,
    ):
        found = read(document(introspection_endpoint=elsewhere))
        assert found.introspection_endpoint is None


@pytest.mark.parametrize(
    "issuer",
    [ISSUER + "/", ISSUER.upper(), "https://login.example/realms/b", None, [ISSUER], {}],
    ids=str,
)
def test_a_document_of_another_issuer_says_nothing(issuer: Any) -> None:
    with pytest.raises(IssuerUnavailable):
        read(document(issuer=issuer))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
        max_leaves=6,
    )
    | st.fixed_dictionaries(
        {
            "issuer": st.just(ISSUER),
            "jwks_uri": st.text() | st.text().map("https://{}".format),
            "introspection_endpoint": st.text() | st.text().map("https://{}".format),
        }
    )
)
def test_any_document_is_read_or_refused(value: Any) -> None:
    with contextlib.suppress(IssuerUnavailable):
        assert read(value).jwks_uri.startswith("https://")
