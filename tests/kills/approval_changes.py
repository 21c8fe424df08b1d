"""Requests that wait for a second person."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from gateway.composition.foundation import Foundation
from gateway.errors import StateConflict
from tests.gateway.parts import client_record
from tests.kills.key_changes import SECOND
from tests.kills.scenario import Notes, Scenario, nothing
from tests.kills.tenancy_changes import ADMINISTRATOR
from tests.kills.world import World, call

LOG = "log/kills/acme"
ANOTHER = replace(
    ADMINISTRATOR,
    principal=replace(
        call("administrator", "platform").principal, client_id="another", subject="another"
    ),
)


def _ask(world: World) -> Notes:
    waits = world.use.key_orders.order(ADMINISTRATOR, "log", "acme", None)
    assert waits is not None
    return {"id": waits.id, "digest": waits.digest}


def _asked(world: World) -> Notes:
    """A request of one administrator, and a second one."""
    world.base.stores.clients.add(client_record("another", "platform", "administrator"))
    return _ask(world)


def _overtaken(world: World) -> Notes:
    """The same, of a key that was replaced since: nothing is changed but the request used up."""
    notes = _asked(world)
    world.use.keys.rotate_log(SECOND, "acme")
    return notes


def _grant(world: World, notes: Notes) -> None:
    with suppress(StateConflict):
        world.use.approvals.grant(ANOTHER, notes["id"], notes["digest"])


def _waits(base: Foundation) -> bool:
    return len(base.stores.approvals.list_approvals("platform", after="", limit=9)) == 1


def _number(base: Foundation) -> int:
    return base.keys.ring(LOG).number


SCENARIOS = (
    Scenario(
        "ask_approval",
        nothing,
        lambda world, _: _ask(world),
        finished=lambda base, _: _waits(base) and _number(base) == 1,
        undone=lambda base, _: not _waits(base) and _number(base) == 1,
    ),
    Scenario(
        "grant_approval",
        _overtaken,  # the change itself is an intent of its own: see there
        _grant,
        finished=lambda base, _: not _waits(base) and _number(base) == 2,
        undone=lambda base, _: _waits(base) and _number(base) == 2,
    ),
    Scenario(
        "withdraw_approval",
        _asked,
        lambda world, notes: world.use.approvals.withdraw(ANOTHER, notes["id"]),
        finished=lambda base, _: not _waits(base) and _number(base) == 1,
        undone=lambda base, _: _waits(base),
    ),
)
