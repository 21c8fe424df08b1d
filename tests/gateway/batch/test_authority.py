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


def _ended(_: str) -> bool:
    return False


def test_who_is_unchanged_acts_as_before() -> None:
    wide = replace(REGISTERED, scopes=PRINCIPAL.scopes)
    assert renewed(kept(PRINCIPAL), wide, HOME, _ended) == PRINCIPAL


def test_it_never_becomes_wider_than_it_was() -> None:
    narrow = replace(PRINCIPAL, scopes=frozenset({"infer"}))
    found = renewed(kept(narrow), REGISTERED, HOME, _ended)
    assert (found.scopes, found.purposes) == (frozenset({"infer"}), frozenset({"care"}))


@pytest.mark.parametrize(
    ("client", "tenant"), [({"purposes": frozenset()}, {}), ({}, {"purposes": frozenset()})]
)
def test_it_is_narrowed_to_what_is_registered_now(
    client: dict[str, Any], tenant: dict[str, Any]
) -> None:
    registered, home = replace(REGISTERED, **client), replace(HOME, **tenant)
    found = renewed(kept(PRINCIPAL), registered, home, _ended)
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
        renewed(kept(PRINCIPAL), client, tenant, _ended)


def test_a_batch_of_a_person_ends_with_the_sign_in_it_was_started_from() -> None:
    person = replace(PRINCIPAL, sign_in="signin-1")
    wide = replace(REGISTERED, scopes=PRINCIPAL.scopes)
    assert renewed(kept(person), wide, HOME, {"signin-1"}.__contains__) == person
    with pytest.raises(InvalidToken):
        renewed(kept(person), wide, HOME, _ended)
