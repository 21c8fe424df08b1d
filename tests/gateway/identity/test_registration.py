from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import AlreadyExists
from gateway.identity.errors import RegistrationRefused
from gateway.identity.records import Client, Tenant
from gateway.identity.registration import check_client, register_client, with_new_secret

from .fakes import ED25519, P256, World, basic


def register(world: World, **changes: Any) -> tuple[Client, str | None]:
    made: dict[str, Any] = {
        "tenant_id": "north",
        "client_id": "new-one",
        "name": "A new one",
        "roles": frozenset({"caller"}),
        "scopes": frozenset({"infer"}),
        "purposes": frozenset({"care"}),
        "default_purpose": "care",
        "auth_method": "client_secret_basic",
        "token_binding": "none",
        "random_bytes": lambda n: b"\7" * n,
        **changes,
    }
    return register_client(world.clients, world.tenants, **made)


def test_a_secret_is_seen_once_and_kept_as_its_hash() -> None:
    world = World()
    client, secret = register(world)
    assert secret is not None
    assert client.secret_hash == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(client)
    assert "secret_hash" not in repr(client)
    authorization = basic("new-one", secret)
    assert world.client_authenticator.authenticate({}, authorization) == client


def test_a_client_with_keys_has_no_secret() -> None:
    keys = {"keys": [ED25519.as_dict(private=False)]}
    client, secret = register(World(), auth_method="private_key_jwt", jwks=keys)
    assert secret is None
    assert client.secret_hash is None
    with pytest.raises(RegistrationRefused):
        with_new_secret(client, lambda n: bytes(n))


def test_a_client_that_only_a_foreign_issuer_vouches_for_has_neither() -> None:
    client, secret = register(World(), auth_method="private_key_jwt", jwks=None)
    assert (client.jwks, client.secret_hash, secret) == (None, None, None)


def test_a_new_secret_replaces_the_old_one() -> None:
    world = World()
    client, old = register(world)
    assert old is not None
    changed, new = with_new_secret(client, lambda n: b"\x08" * n)
    world.revocation_state.save_client(changed)
    assert world.client_authenticator.authenticate({}, basic("new-one", new)).id == "new-one"
    assert changed.secret_hash != client.secret_hash


def test_binding_is_the_default() -> None:
    assert Client(id="a", tenant="north", name="a").token_binding == "dpop"


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": "nowhere"},
        {"client_id": ""},
        {"client_id": "Upper"},
        {"client_id": "-a"},
        {"client_id": "a/b"},
        {"client_id": "a" * 64},
        {"client_id": "a\n"},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"roles": frozenset({"king"})},
        {"roles": frozenset({"administrator"})},
        {"scopes": frozenset({"everything"})},
        {"purposes": frozenset({"marketing"})},
        {"default_purpose": "research"},
        {"jwks": {"keys": [ED25519.as_dict(private=False)]}},
    ],
    ids=lambda changes: "jwks" if "jwks" in changes else str(changes),  # the key is made anew
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    world = World()
    with pytest.raises(RegistrationRefused):
        register(world, **changes)
    assert len(world.clients.list("north", None, 10)) == 2


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [ED25519.as_dict(private=True)],
        [ED25519.as_dict(private=False), P256.as_dict(private=False)],
        [
            {**ED25519.as_dict(private=False), "kid": "a"},
            {**P256.as_dict(private=False), "kid": "a"},
        ],
        [{**ED25519.as_dict(private=False), "kid": f"k{n}"} for n in range(9)],
        "keys",
    ],
)
def test_keys_that_are_not_acceptable_are_refused(keys: Any) -> None:
    with pytest.raises(RegistrationRefused):
        register(World(), auth_method="private_key_jwt", jwks={"keys": keys})


def test_administrators_belong_to_the_platform() -> None:
    world = World()
    world.tenants.add(Tenant("platform", "Platform", "eu"))
    client, _ = register(
        world,
        tenant_id="platform",
        roles=frozenset({"administrator"}),
        purposes=frozenset(),
        default_purpose=None,
    )
    assert client.tenant == "platform"


def test_an_id_is_taken_for_every_tenant() -> None:
    world = World()
    with pytest.raises(AlreadyExists):
        register(world, client_id="service", tenant_id="south", purposes=frozenset(),
                 default_purpose=None)  # fmt: skip


def test_a_record_with_both_credentials_is_refused() -> None:
    world = World()
    tenant = world.tenants.get("north")
    assert tenant is not None
    check_client(world.machine, tenant)
    with pytest.raises(RegistrationRefused):
        check_client(replace(world.machine, secret_hash=bytes(32)), tenant)
