from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists
from gateway.identity.errors import UnknownRecord
from gateway.identity.records import Client
from gateway.storage.stores import ControlStores
from tests.contracts.samples import ACME, APP


def test_a_tenant_comes_back_as_it_was(stores: ControlStores) -> None:
    assert stores.tenants.get("acme") is None
    stores.tenants.add(ACME)
    assert stores.tenants.get("acme") == ACME


def test_a_tenant_is_replaced_as_a_whole(stores: ControlStores) -> None:
    stores.tenants.add(ACME)
    changed = replace(ACME, name="n", region="us", suspended=False, purposes=frozenset())
    stores.tenants.update(changed)
    assert stores.tenants.get("acme") == changed


def test_a_taken_id_changes_nothing(stores: ControlStores) -> None:
    stores.tenants.add(ACME)
    stores.clients.add(APP)
    with pytest.raises(AlreadyExists):
        stores.tenants.add(replace(ACME, region="us"))
    with pytest.raises(AlreadyExists):
        stores.clients.add(replace(APP, tenant="other"))
    assert stores.tenants.get("acme") == ACME
    assert stores.clients.get("app") == APP


def test_only_what_exists_is_updated(stores: ControlStores) -> None:
    with pytest.raises(UnknownRecord):
        stores.tenants.update(ACME)
    with pytest.raises(UnknownRecord):
        stores.clients.update(APP)
    assert stores.tenants.get("acme") is None
    assert stores.clients.get("app") is None


def test_a_client_never_changes_tenant(stores: ControlStores) -> None:
    stores.clients.add(APP)
    with pytest.raises(UnknownRecord):
        stores.clients.update(replace(APP, tenant="other"))
    assert stores.clients.get("app") == APP


@pytest.mark.parametrize(
    "client",
    [
        APP,
        replace(APP, secret_hash=None, jwks=None, default_purpose=None),
        replace(APP, jwks={}, roles=frozenset(), scopes=frozenset(), disabled=False),
    ],
)
def test_a_client_comes_back_as_it_was(stores: ControlStores, client: Client) -> None:
    assert stores.clients.get("app") is None
    stores.clients.add(client)
    assert stores.clients.get("app") == client
    stores.clients.update(replace(client, name="new"))
    assert stores.clients.get("app") == replace(client, name="new")


def test_nobody_shares_a_mapping_with_the_store(stores: ControlStores) -> None:
    keys: dict[str, object] = {"keys": []}
    stores.clients.add(replace(APP, jwks=keys))
    keys["keys"] = ["mine"]
    stored = stores.clients.get("app")
    assert stored is not None
    assert stored.jwks == {"keys": []}
    stored.jwks["keys"].append("mine")
    again = stores.clients.get("app")
    assert again is not None
    assert again.jwks == {"keys": []}


def test_tenants_are_listed_by_id_page_by_page(stores: ControlStores) -> None:
    ids = ["B", "a", "a-b", "a.b", "a0", "aa", "b", "z", "é", "ﬀ", "😀"]
    for name in reversed(ids):
        stores.tenants.add(replace(ACME, id=name))
    assert [t.id for t in stores.tenants.list(None, 100)] == ids
    found: list[str] = []
    while page := stores.tenants.list(found[-1] if found else None, 3):
        assert len(page) <= 3
        found += [tenant.id for tenant in page]
    assert found == ids


def test_clients_are_listed_for_their_tenant_only(stores: ControlStores) -> None:
    for tenant, name in [
        ("acme", "b"),
        ("acme", "B"),
        ("other", "c"),
        ("acme", "d"),
        ("Acme", "e"),
    ]:
        stores.clients.add(replace(APP, tenant=tenant, id=name))
    assert [c.id for c in stores.clients.list("acme", None, 10)] == ["B", "b", "d"]
    assert [c.id for c in stores.clients.list("acme", "b", 10)] == ["d"]
    assert [c.id for c in stores.clients.list("acme", None, 1)] == ["B"]
    assert list(stores.clients.list("nobody", None, 10)) == []


def test_identifiers_compare_byte_for_byte(stores: ControlStores) -> None:
    """One database of another project compared them without case."""
    stores.tenants.add(replace(ACME, id="acme", region="1"))
    for other in ("Acme", "ACME", "acme ", "acmé", "acme\u0301", "\uff41cme"):
        assert stores.tenants.get(other) is None
        stores.tenants.add(replace(ACME, id=other, region="2"))
    stored = stores.tenants.get("acme")
    assert stored is not None
    assert stored.region == "1"


def test_epochs_only_rise(stores: ControlStores) -> None:
    revocations = stores.revocations
    assert revocations.epoch() == 0
    assert revocations.bump() == 1
    assert revocations.revoke_token("iss", "jti", 100) == 2
    assert revocations.bump() == 3
    assert revocations.epoch() == 3


def test_a_revoked_token_is_known_until_it_expires(stores: ControlStores) -> None:
    revocations = stores.revocations
    revocations.revoke_token("iss", "jti", 100)
    revocations.revoke_token("other", "jti", 50)
    assert revocations.revoked(50) == {("iss", "jti"): 100, ("other", "jti"): 50}
    assert revocations.revoked(51) == {("iss", "jti"): 100}
    assert revocations.revoked(101) == {}


def test_revoking_twice_keeps_the_later_expiry(stores: ControlStores) -> None:
    revocations = stores.revocations
    assert revocations.revoke_token("iss", "jti", 100) == 1
    assert revocations.revoke_token("iss", "jti", 50) == 2
    assert revocations.revoked(0) == {("iss", "jti"): 100}
    assert revocations.revoke_token("iss", "jti", 150) == 3
    assert revocations.revoked(0) == {("iss", "jti"): 150}


def test_pruning_forgets_the_expired_and_keeps_the_epoch(stores: ControlStores) -> None:
    revocations = stores.revocations
    revocations.revoke_token("iss", "a", 10)
    revocations.revoke_token("iss", "b", 20)
    assert revocations.prune(20) == 1
    assert revocations.prune(20) == 0
    assert revocations.revoked(0) == {("iss", "b"): 20}
    assert revocations.epoch() == 2
