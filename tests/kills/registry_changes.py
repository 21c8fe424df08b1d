"""Models, their releases and their deliveries."""

from __future__ import annotations

import io
import secrets
import time
from dataclasses import replace

from gateway.artifacts.age import generate_identity
from gateway.composition.foundation import Foundation
from gateway.errors import AlreadyExists
from gateway.registry.records import Model, ModelVersion, Release, VersionState
from tests.kills.scenario import Notes, Scenario, always, never, nothing
from tests.kills.world import World, call

OWNER, OFFICER = call("owner"), call("officer")


def add_model(world: World) -> Notes:
    """Register the model `m`, shared with nobody."""
    world.base.stores.registry.add_model(
        Model("acme", "m", False, "internal", frozenset(), int(time.time()), "acme-owner")
    )
    return {}


def add_version(world: World, version: str, state: VersionState = "candidate") -> ModelVersion:
    """Put a version of `m`, with a graph that is really stored."""
    graph = world.base.sealer.seal_bytes("acme", f"graph {version}".encode(), "graph")
    made = ModelVersion(
        tenant="acme",
        model="m",
        version=version,
        state=state,
        created=int(time.time()),
        created_by="somebody-else",
        owner_bundle=b"bundle",
        link=b"link",
        payloads=(graph,),
    )
    world.base.stores.registry.add_version(made)
    return made


def _release(world: World, version: str, previous: str | None) -> None:
    entry = Release("acme", "m", version, previous, "promote", "somebody-else", int(time.time()))
    world.base.stores.registry.release(entry, expected=previous)


def _candidate(world: World) -> Notes:
    add_model(world)
    return {"digest": add_version(world, "1").payloads[0].digest}


def _two_releases(world: World) -> Notes:
    _candidate(world)
    add_version(world, "2")
    _release(world, "1", None)
    _release(world, "2", "1")
    return {}


def _model(base: Foundation) -> Model | None:
    return base.stores.registry.get_model("acme", "m")


def _served(base: Foundation) -> str | None:
    current = base.stores.registry.current("acme", "m")
    return current.version if current else None


def _state(base: Foundation, version: str) -> str:
    found = base.stores.registry.get_version("acme", "m", version)
    assert found is not None
    return found.state


def _create(world: World, notes: Notes) -> object:
    return world.use.catalogue.create_model(OWNER, "m", personal=True, data_class="health")


def _deliver(world: World, notes: Notes) -> None:
    delivery, recipient = world.use.delivery, str(generate_identity(secrets.token_bytes).recipient)
    found = delivery.find(OWNER, "m", "1", notes["digest"], recipient)
    opened = delivery.open(OWNER, found)
    sent = sum(map(len, world.base.artifacts.read(found.payload.digest)))
    delivery.close(opened, sent=sent, complete=True)


def _as_before(base: Foundation, notes: Notes) -> bool:
    model = _model(base)
    return model is not None and replace(model, created=0) == Model(
        "acme", "m", False, "internal", frozenset(), 0, "acme-owner"
    )


SCENARIOS = (
    Scenario(
        "register_model",
        nothing,
        _create,
        finished=lambda base, _: _model(base) is not None,
        undone=lambda base, _: _model(base) is None,
    ),
    Scenario(
        "register_model",
        add_model,
        _create,
        way="the name is taken",
        finished=never,
        undone=_as_before,
        refused=AlreadyExists,
    ),
    Scenario(
        "promote",
        _candidate,
        lambda world, _: world.use.releases.promote(OWNER, "m", "1"),
        finished=lambda base, _: (_served(base), _state(base, "1")) == ("1", "released"),
        undone=lambda base, _: (_served(base), _state(base, "1")) == (None, "candidate"),
    ),
    Scenario(
        "rollback",
        _two_releases,
        lambda world, _: world.use.releases.rollback(OWNER, "m", None),
        finished=lambda base, _: _served(base) == "1",
        undone=lambda base, _: _served(base) == "2",
    ),
    Scenario(
        "retire",
        _two_releases,
        lambda world, _: world.use.releases.retire(OWNER, "m", "1"),
        finished=lambda base, _: _state(base, "1") == "retired",
        undone=lambda base, _: _state(base, "1") == "released",
    ),
    Scenario("download", _candidate, _deliver, finished=always, undone=always, leaves=False),
    Scenario(
        "export",
        add_model,
        lambda world, _: world.use.audit.export(OFFICER, io.BytesIO()),
        finished=always,
        undone=always,
        leaves=False,
    ),
)
