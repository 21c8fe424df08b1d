from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.batch.authority import kept, renewed
from gateway.identity.errors import InvalidToken
from gateway.identity.records import Client, Tenant
from tests.gateway.parts import TENANT, call

PRINCIPAL = call("caller").principal
REGISTERED = Client(
    "acme-caller",
    TENANT,
    "caller",
    roles=frozenset({"caller"}),
    scopes=frozenset({"infer", "models"}),
    purposes=frozenset({"care", "research"}),
)
HOME = Tenant(TENANT, TENANT, "eu", purposes=frozenset({"care", "research"}))


def test_who_is_unchanged_acts_as_before() -> None:
    wide = replace(REGISTERED, scopes=PRINCIPAL.scopes)
    assert renewed(kept(PRINCIPAL), wide, HOME) == PRINCIPAL


def test_it_never_becomes_wider_than_it_was() -> None:
    narrow = replace(PRINCIPAL, scopes=frozenset({"infer"}))
    found = renewed(kept(narrow), REGISTERED, HOME)
    assert (found.scopes, found.purposes) == (frozenset({"infer"}), frozenset({"care"}))


@pytest.mark.parametrize(
    ("client", "tenant"), [({"purposes": frozenset()}, {}), ({}, {"purposes": frozenset()})]
)
def test_it_is_narrowed_to_what_is_registered_now(
    client: dict[str, Any], tenant: dict[str, Any]
) -> None:
    found = renewed(kept(PRINCIPAL), replace(REGISTERED, **client), replace(HOME, **tenant))
    assert found.purposes == frozenset()
    assert found.scopes == frozenset({"infer", "models"})


@pytest.mark.parametrize(
    ("client", "tenant"),
    [
        (None, HOME),
        (REGISTERED, None),
        (replace(REGISTERED, disabled=True), HOME),
        (replace(REGISTERED, tenant="rival"), HOME),
        (replace(REGISTERED, roles=frozenset({"owner"})), HOME),
        (REGISTERED, replace(HOME, suspended=True)),
    ],
)
def test_who_is_shut_out_or_changed_acts_no_more(
    client: Client | None, tenant: Tenant | None
) -> None:
    with pytest.raises(InvalidToken):
        renewed(kept(PRINCIPAL), client, tenant)
