"""Tenants, clients, policy sets and tokens."""

from __future__ import annotations

import time
from dataclasses import replace

from gateway.authorization.recorder import Agreed
from gateway.composition.foundation import Foundation
from gateway.errors import AlreadyExists
from gateway.identity.authorization_server import Revocation
from gateway.identity.records import Client, Tenant
from gateway.identity.tokens import AccessClaims
from gateway.tenancy.administration import ClientOrder
from policies.compiled import starter_text
from tests.gateway.parts import client_record
from tests.kills.scenario import Notes, Scenario, never, nothing
from tests.kills.world import RULES, World, call

ADMINISTRATOR, AUTHOR = call("administrator", "platform"), call("officer")
ISSUER, TOKEN = "http://127.0.0.1:8080", "token-1"
CARE = frozenset({"care"})
ORDER = ClientOrder(
    "robot", "Robot", frozenset({"caller"}), frozenset({"infer"}), CARE, "care",
    "client_secret_basic", None, "none",
)  # fmt: skip
NEW_RULES = f'{RULES}@id("none")\nforbid (principal, action == Action::"infer", resource);\n'


SHUT_RULES = '@id("shut")\nforbid (principal, action, resource);\n'
AGREEING = replace(ADMINISTRATOR, agreed=Agreed("another", "0" * 64))
"""Agrees to what another one asked for."""


def _locked_out(world: World) -> Notes:
    """Nobody of the tenant can publish any more."""
    world.base.author.publish("acme", SHUT_RULES, "test")
    return {}


def _create_tenant(world: World, notes: Notes) -> object:
    administration = world.use.administration
    return administration.create_tenant(ADMINISTRATOR, "clinic", "Clinic", "eu", CARE)


def _has_all(base: Foundation) -> bool:
    """Whether the tenant `clinic` has its record, its keys and its policies, those in force."""
    bundle = base.author.current("clinic")
    if base.stores.tenants.get("clinic") is None or bundle is None:
        return False
    return bool(base.keys.mac_key("clinic")) and base.engine.epoch("clinic") == bundle.epoch == 1


def _other_clinic(world: World) -> Notes:
    world.base.keys.create_tenant("clinic")
    world.base.author.publish("clinic", starter_text(), "test")
    world.base.stores.tenants.add(Tenant("clinic", "Another", "us"))
    return {}


def _suspended(base: Foundation) -> bool:
    tenant = base.stores.tenants.get("acme")
    assert tenant is not None
    return tenant.suspended


def _set_suspended(world: World, suspended: bool) -> object:
    administration = world.use.administration
    return administration.set_suspended(ADMINISTRATOR, "acme", suspended=suspended)


def _suspend(world: World) -> Notes:
    tenant = world.base.stores.tenants.get("acme")
    assert tenant is not None
    world.base.revocation_state.save_tenant(replace(tenant, suspended=True))
    return {}


def _create_client(world: World, notes: Notes) -> object:
    return world.use.administration.create_client(ADMINISTRATOR, "acme", ORDER)


def _robot(base: Foundation) -> Client | None:
    return base.stores.clients.get("robot")


def _other_robot(world: World) -> Notes:
    world.base.stores.clients.add(client_record("robot", "rival", "owner"))
    return {}


def _disabled(base: Foundation) -> bool:
    client = base.stores.clients.get("acme-caller")
    assert client is not None
    return client.disabled


def _revoke(world: World, notes: Notes) -> None:
    client = world.base.stores.clients.get("acme-caller")
    assert client is not None
    now = int(time.time())
    claims = AccessClaims(
        issuer=ISSUER, subject="s", client_id=client.id, token_id=TOKEN, issued=now,
        expires=now + 600, scopes=frozenset(), tenant="acme", thumbprint=None, authenticated=now,
    )  # fmt: skip
    world.use.tokens.revoke(Revocation(client, claims))


def _rules(base: Foundation) -> tuple[str, bool]:
    """The text that is stored, and whether it is the one in force."""
    bundle = base.author.current("acme")
    assert bundle is not None
    return bundle.text, base.engine.epoch("acme") == bundle.epoch


SCENARIOS = (
    Scenario(
        "create_tenant",
        nothing,
        _create_tenant,
        finished=lambda base, _: _has_all(base),
        # Keys and policies may be there: whoever repeats the call completes it.
        undone=lambda base, _: base.stores.tenants.get("clinic") is None,
    ),
    Scenario(
        "create_tenant",
        _other_clinic,
        _create_tenant,
        way="the name is taken",
        finished=never,
        undone=lambda base, _: (
            base.stores.tenants.get("clinic") == Tenant("clinic", "Another", "us")
        ),
        refused=AlreadyExists,
    ),
    Scenario(
        "suspend_tenant",
        nothing,
        lambda world, _: _set_suspended(world, True),
        finished=lambda base, _: _suspended(base),
        undone=lambda base, _: not _suspended(base),
    ),
    Scenario(
        "resume_tenant",
        _suspend,
        lambda world, _: _set_suspended(world, False),
        finished=lambda base, _: not _suspended(base),
        undone=lambda base, _: _suspended(base),
    ),
    Scenario(
        "create_client",
        nothing,
        _create_client,
        finished=lambda base, _: _robot(base) is not None,
        undone=lambda base, _: _robot(base) is None,
    ),
    Scenario(
        "create_client",
        _other_robot,
        _create_client,
        way="the name is taken",
        finished=never,
        undone=lambda base, _: _robot(base) == client_record("robot", "rival", "owner"),
        refused=AlreadyExists,
    ),
    Scenario(
        "disable_client",
        nothing,
        lambda world, _: world.use.administration.disable_client(
            ADMINISTRATOR, "acme", "acme-caller"
        ),
        finished=lambda base, _: _disabled(base),
        undone=lambda base, _: not _disabled(base),
    ),
    Scenario(
        "revoke_token",
        nothing,
        _revoke,
        finished=lambda base, _: base.revocation_state.is_revoked(ISSUER, TOKEN),
        undone=lambda base, _: not base.revocation_state.is_revoked(ISSUER, TOKEN),
    ),
    Scenario(
        "publish_policies",
        nothing,
        lambda world, _: world.use.policies.publish(AUTHOR, NEW_RULES),
        finished=lambda base, _: _rules(base) == (NEW_RULES, True),
        undone=lambda base, _: _rules(base) == (RULES, True),
    ),
    Scenario(
        "rescue_policies",
        _locked_out,
        lambda world, _: world.use.policy_rescue.rescue(AGREEING, "acme", 1),
        finished=lambda base, _: _rules(base) == (RULES, True),
        undone=lambda base, _: _rules(base) == (SHUT_RULES, True),
    ),
)
