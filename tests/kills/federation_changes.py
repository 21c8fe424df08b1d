"""Federations, their sites and their runs."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.composition.foundation import Foundation
from gateway.errors import AlreadyExists
from gateway.federation.federations import Plan
from gateway.federation.records import Federation, Run
from tests.kills.registry_changes import add_model
from tests.kills.scenario import Notes, Scenario, never
from tests.kills.upload_changes import CONTENT, keep
from tests.kills.world import World, call

CONVENOR, BOTH = call("convenor"), call("convenor", also="owner")
PLAN = Plan("lungs", "m", "logistic-regression", '{"features": 3}', quorum=1, deadline_s=60)


def _key() -> str:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    form = serialization.PublicFormat.OpenSSH
    return public.public_bytes(serialization.Encoding.OpenSSH, form).decode()


def _convene(world: World) -> Notes:
    add_model(world)
    world.use.federations.create(CONVENOR, PLAN, None)
    return {"key": _key()}


def _with_a_site(world: World) -> Notes:
    notes = _convene(world)
    world.use.federations.add_site(CONVENOR, "lungs", "north", notes["key"])
    return notes


def _held_out(world: World) -> Notes:
    add_model(world)
    upload = keep(world, CONTENT, BOTH)
    return {"upload": upload}


def _taken(world: World) -> Notes:
    _convene(world)
    return {"upload": keep(world, CONTENT, BOTH)}


def _revoked(world: World) -> Notes:
    notes = _with_a_site(world)
    world.use.federations.revoke_site(CONVENOR, "lungs", "north")
    plan = Plan("bones", "m", "logistic-regression", "{}", quorum=1, deadline_s=60)
    world.use.federations.create(CONVENOR, plan, None)
    return notes


def _create(world: World, notes: Notes) -> object:
    return world.use.federations.create(BOTH, PLAN, notes["upload"].id)


def _federation(base: Foundation, name: str = "lungs") -> Federation | None:
    return base.stores.federations.get_federation("acme", name)


def _waits(base: Foundation, notes: Notes) -> bool:
    """Whether the held-out set is still an upload."""
    upload = notes["upload"]
    kept = base.stores.uploads.get_upload("acme", upload.id) == upload
    return kept and base.artifacts.exists(upload.payload.digest)


def _created(base: Foundation, notes: Notes) -> bool:
    federation, upload = _federation(base), notes["upload"]
    if federation is None or federation.calibration != upload.payload:
        return False
    spent = base.stores.uploads.get_upload("acme", upload.id) is None
    return spent and base.artifacts.exists(upload.payload.digest)


def _let_in(base: Foundation, federation: str = "lungs") -> bool:
    found = _federation(base, federation)
    assert found is not None
    return found.sites == ("north",)


def _is_revoked(base: Foundation) -> bool:
    site = base.stores.federations.get_site("acme", "north")
    assert site is not None
    return site.revoked


def _run(base: Foundation) -> Run | None:
    runs = base.stores.federations.list_runs("acme", "lungs", after="", limit=9)
    return runs[0] if runs else None


def _not_started(base: Foundation) -> bool:
    run = _run(base)
    return run is None or (run.state, run.reason) == ("failed", "not_started")


def _followed(world: World) -> bool:
    """Whether a run that goes on is followed, and the coordinator has no other one."""
    run, coordinator = _run(world.base), world.coordinator
    if run is None or run.state == "failed":
        return not coordinator.running
    return coordinator.running == {run.id} and coordinator.asked[run.id].wait(30)


SCENARIOS = (
    Scenario(
        "create_federation",
        _held_out,
        _create,
        finished=_created,
        undone=lambda base, notes: _federation(base) is None and _waits(base, notes),
    ),
    Scenario(
        "create_federation",
        _taken,
        _create,
        way="the name is taken",
        finished=never,
        undone=_waits,
        refused=AlreadyExists,
    ),
    Scenario(
        "add_site",
        _convene,
        lambda world, notes: world.use.federations.add_site(
            CONVENOR, "lungs", "north", notes["key"]
        ),
        finished=lambda base, _: _let_in(base),
        undone=lambda base, _: (
            not _let_in(base) and base.stores.federations.get_site("acme", "north") is None
        ),
    ),
    Scenario(
        "add_site",
        _revoked,
        lambda world, notes: world.use.federations.add_site(
            CONVENOR, "bones", "north", notes["key"]
        ),
        way="the site is revoked",
        finished=never,
        undone=lambda base, _: not _let_in(base, "bones") and _is_revoked(base),
        refused=AlreadyExists,
    ),
    Scenario(
        "revoke_site",
        _with_a_site,
        lambda world, _: world.use.federations.revoke_site(CONVENOR, "lungs", "north"),
        finished=lambda base, _: _is_revoked(base),
        undone=lambda base, _: not _is_revoked(base),
    ),
    Scenario(
        "start_run",
        _with_a_site,
        lambda world, _: world.use.runs.start(CONVENOR, "lungs", "2.0", 1),
        finished=lambda base, _: (run := _run(base)) is not None and run.state == "running",
        undone=lambda base, _: _not_started(base),
        lives=_followed,
    ),
)
