from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.identity.errors import InvalidToken
from gateway.identity.principal import (
    AGE_MARGIN_SECONDS,
    Principal,
    principal_of,
    registered_id,
    still_valid,
)
from gateway.identity.records import Client, Tenant
from gateway.identity.tokens import AccessClaims
from gateway.identity.trust import IssuerTrust

from .fakes import NOW, URL

TENANT = Tenant("north", "North", "eu", False, frozenset({"care", "research"}))
CLIENT = Client(
    id="service",
    tenant="north",
    name="a client",
    roles=frozenset({"caller"}),
    scopes=frozenset({"infer", "models"}),
    purposes=frozenset({"care"}),
    default_purpose="care",
    token_binding="none",
)
CLAIMS = AccessClaims(
    issuer=URL,
    subject="someone",
    client_id="service",
    token_id="t1",
    issued=int(NOW) - 10,
    expires=int(NOW) + 290,
    scopes=frozenset({"infer", "audit"}),
    tenant="north",
    thumbprint=None,
    authenticated=int(NOW) - 10,
)
OWN = IssuerTrust(URL, URL, frozenset(), frozenset({"Ed25519"}), tenant_claim="tenant")
FOREIGN = IssuerTrust(
    "https://provider.example",
    URL,
    frozenset({"north"}),
    frozenset({"ES256"}),
    clients={"abc-123": "service"},
)


def principal(
    claims: AccessClaims = CLAIMS,
    trust: IssuerTrust = OWN,
    client: Client | None = CLIENT,
    tenant: Tenant | None = TENANT,
    own: bool = True,
) -> Principal:
    return principal_of(claims, trust, client, tenant, NOW, own=own)


def test_roles_and_purposes_come_from_the_registration_and_scopes_are_narrowed() -> None:
    assert principal() == Principal(
        issuer=URL,
        client_id="service",
        subject="someone",
        tenant="north",
        kind="service",
        roles=frozenset({"caller"}),
        scopes=frozenset({"infer"}),
        purposes=frozenset({"care"}),
        default_purpose="care",
        binding="none",
        acr=0,
        auth_age=10 + AGE_MARGIN_SECONDS,
        token_id="t1",
        expires=int(NOW) + 290,
        issued=int(NOW) - 10,
    )


def test_a_token_of_before_its_client_was_let_in_again_is_refused() -> None:
    """It was good again until its end when the client was enabled within its five minutes."""
    kept = principal()
    shut_out = replace(CLIENT, not_before=int(NOW) - 9)
    with pytest.raises(InvalidToken):
        principal(client=shut_out)
    assert not still_valid(kept, shut_out, TENANT)
    fresh = replace(CLAIMS, issued=int(NOW) - 9)
    assert still_valid(principal(fresh, client=shut_out), shut_out, TENANT)


def test_a_bound_token_makes_a_bound_principal() -> None:
    assert principal(replace(CLAIMS, thumbprint="t")).binding == "dpop"


def test_a_purpose_that_the_tenant_gave_up_is_gone() -> None:
    tenant = replace(TENANT, purposes=frozenset({"research"}))
    assert principal(tenant=tenant).purposes == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"client": None},
        {"client": replace(CLIENT, disabled=True)},
        {"client": replace(CLIENT, tenant="south")},
        {"client": replace(CLIENT, token_binding="dpop")},
        {"tenant": None},
        {"tenant": replace(TENANT, suspended=True)},
        {"tenant": Tenant("south", "South", "eu")},
        {"claims": replace(CLAIMS, tenant="south")},
        {"claims": replace(CLAIMS, tenant=None)},
        {"trust": FOREIGN, "own": False, "client": replace(CLIENT, tenant="south"),
         "tenant": Tenant("south", "South", "eu")},
        {"trust": replace(FOREIGN, allowed_tenants=frozenset()), "own": False},
        {"trust": replace(FOREIGN, tenant_claim="org"), "own": False,
         "claims": replace(CLAIMS, tenant="south")},
    ],
)  # fmt: skip
def test_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        principal(**changes)


def test_a_foreign_client_is_whom_it_was_registered_as() -> None:
    claims = replace(CLAIMS, issuer=FOREIGN.issuer, client_id="abc-123", tenant=None)
    assert registered_id(claims, FOREIGN, own=False) == "service"
    made = principal(claims, FOREIGN, own=False)
    assert (made.issuer, made.client_id, made.tenant) == (FOREIGN.issuer, "service", "north")


def test_a_foreign_client_cannot_take_a_registered_name() -> None:
    with pytest.raises(InvalidToken):
        registered_id(CLAIMS, FOREIGN, own=False)
