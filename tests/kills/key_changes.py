"""Keys that follow one another, and what clients authenticate with."""

from __future__ import annotations

from dataclasses import replace

from audit.succession import ACTION
from gateway.authorization.recorder import Agreed
from gateway.composition.foundation import Foundation
from gateway.identity.records import Client
from tests.gateway.parts import client_record
from tests.kills.registry_changes import OWNER, add_model, add_version
from tests.kills.scenario import Notes, Scenario, nothing
from tests.kills.tenancy_changes import ADMINISTRATOR
from tests.kills.world import World

LOG = "log/kills/acme"
SECOND = replace(ADMINISTRATOR, agreed=Agreed("another", "0" * 64))
"""Agrees to what another one asked for."""


def _files(world: World) -> Notes:
    """A version with a payload, and a subject, whose keys the first version of the key wrapped."""
    add_model(world)
    add_version(world, "1")
    ref = world.base.vault.ref("acme", "somebody")
    sealed = world.base.vault.seal("acme", ref, b"a field", "an-event")
    return {"ref": ref, "sealed": sealed}


def _logged(world: World) -> Notes:
    """An entry under a checkpoint of the first key."""
    catalogue = world.use.catalogue
    catalogue.create_model(OWNER, "m", personal=False, data_class="internal")
    return {}


def _replaced(world: World) -> Notes:
    """The same, wrapped anew by the second version, whose promise to keep the first has ended."""
    notes = _files(world)
    world.base.keys.rotate("acme")
    world.base.stores.registry.rewrap("acme", lambda p: world.base.sealer.rewrapped("acme", p))
    world.base.vault.rewrap("acme", lambda key: world.base.keys.wraps_newest("acme", key))
    return notes


def _opens(base: Foundation, notes: Notes) -> bool:
    """Whether everything opens that was sealed."""
    version = base.stores.registry.get_version("acme", "m", "1")
    assert version is not None
    base.sealer.open_payload("acme", version.payloads[0]).wipe()
    return base.vault.open("acme", notes["ref"], notes["sealed"], "an-event") == b"a field"


def _all_anew(base: Foundation, notes: Notes) -> bool:
    version = base.stores.registry.get_version("acme", "m", "1")
    assert version is not None
    newest = base.keys.wraps_newest("acme", version.payloads[0].wrapped_key)
    return base.keys.tenant_key("acme").version == 2 and newest and _opens(base, notes)


def _rotated_log(base: Foundation) -> bool:
    """Whether the second key signs, the first has named it, and neither half is left."""
    ring = base.keys.ring(LOG)
    found = [e for e in base.reader.events("acme", limit=99) if e.event.action == ACTION]
    signs = base.log.verifier("acme").vkey == base.log_signer("acme").verifier_key
    signed = base.log.verifier("acme").has_signed(base.log.checkpoint("acme"))
    return (ring.number, ring.successor, len(found)) == (2, None, 1) and signs and signed


def _old_log(base: Foundation) -> bool:
    ring = base.keys.ring(LOG)
    found = [e for e in base.reader.events("acme", limit=99) if e.event.action == ACTION]
    return (ring.number, ring.successor, found) == (1, None, [])


def _retired(base: Foundation, notes: Notes) -> bool:
    return base.keys.tenant_key("acme").oldest == 2 and _opens(base, notes)


def _secretive(world: World) -> Notes:
    client = client_record("robot", "acme", "caller")
    held = replace(client, auth_method="client_secret_basic", secret_hash=bytes(32))
    world.base.stores.clients.add(held)
    return {}


def _shut_out(world: World) -> Notes:
    world.base.stores.clients.add(client_record("robot", "acme", "caller", disabled=True))
    return {}


def _robot(base: Foundation) -> Client:
    client = base.stores.clients.get("robot")
    assert client is not None
    return client


def _two_secrets(base: Foundation) -> bool:
    client = _robot(base)
    earlier = [one.secret_hash for one in client.former]
    return client.secret_hash != bytes(32) and earlier == [bytes(32)]


SCENARIOS = (
    Scenario(
        "rotate_token_key",
        nothing,
        lambda world, _: world.use.keys.rotate_token(ADMINISTRATOR),
        finished=lambda base, _: base.keys.ring("token").number == 2,
        undone=lambda base, _: base.keys.ring("token").number == 1,
        lives=lambda world: (
            len(world.token_keys.jwks["keys"]) == world.base.keys.ring("token").number
        ),
    ),
    Scenario(
        "rotate_log_key",
        _logged,
        lambda world, _: world.use.keys.rotate_log(SECOND, "acme"),
        finished=lambda base, _: _rotated_log(base),
        undone=lambda base, _: _old_log(base),
    ),
    Scenario(
        "rotate_tenant_key",
        _files,
        lambda world, _: world.use.keys.rotate_tenant(ADMINISTRATOR, "acme"),
        finished=_all_anew,
        undone=lambda base, notes: (
            base.keys.tenant_key("acme").version == 1 and _opens(base, notes)
        ),
    ),
    Scenario(
        "retire_tenant_key",
        _replaced,
        lambda world, _: world.use.key_retirement.retire("acme"),
        finished=_retired,
        undone=lambda base, notes: base.keys.tenant_key("acme").oldest == 1 and _opens(base, notes),
    ),
    Scenario(
        "rotate_client",
        _secretive,
        lambda world, _: world.use.credentials.rotate(ADMINISTRATOR, "acme", "robot", None),
        finished=lambda base, _: _two_secrets(base),
        undone=lambda base, _: (_robot(base).secret_hash, _robot(base).former) == (bytes(32), ()),
    ),
    Scenario(
        "enable_client",
        _shut_out,
        lambda world, _: world.use.credentials.enable(ADMINISTRATOR, "acme", "robot"),
        finished=lambda base, _: not _robot(base).disabled,
        undone=lambda base, _: _robot(base).disabled,
    ),
)
