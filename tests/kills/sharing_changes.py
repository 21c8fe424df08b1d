"""Offers of models to another tenant, their acceptance and their end."""

from __future__ import annotations

from typing import Literal

from gateway.composition.foundation import Foundation
from gateway.registry.terms import Terms
from tests.kills.registry_changes import add_model
from tests.kills.scenario import Notes, Scenario
from tests.kills.world import World, call
from tests.sharings import sharing

OWNER, THEIR_OWNER = call("owner"), call("owner", "rival")


def _offered(world: World) -> Notes:
    add_model(world)
    offer = sharing("acme", "m", "rival", id="first", accepted=None, accepted_by="")
    world.base.stores.registry.offer(offer)
    return {}


def _accepted(world: World) -> Notes:
    add_model(world)
    world.base.stores.registry.offer(sharing("acme", "m", "rival", id="first"))
    return {}


def _state(base: Foundation) -> tuple[str, Literal["offered", "accepted", "none"]]:
    found = base.stores.registry.get_sharing("acme", "m", "rival")
    if found is None:
        return "", "none"
    which = "first" if found.id == "first" else "new"
    return which, "accepted" if found.accepted is not None else "offered"


def _offer(world: World, notes: Notes) -> object:
    return world.use.sharings.offer(OWNER, "m", Terms("rival", download=True))


SCENARIOS = (
    Scenario(
        "offer_sharing",
        add_model,
        _offer,
        finished=lambda base, _: _state(base) == ("new", "offered"),
        undone=lambda base, _: _state(base) == ("", "none"),
    ),
    Scenario(
        "offer_sharing",
        _accepted,
        _offer,
        way="in the place of one that stands",
        finished=lambda base, _: _state(base) == ("new", "offered"),
        undone=lambda base, _: _state(base) == ("first", "accepted"),
        tells=True,
    ),
    Scenario(
        "accept_sharing",
        _offered,
        lambda world, _: world.use.sharings.accept(THEIR_OWNER, "acme", "m", "first"),
        finished=lambda base, _: _state(base) == ("first", "accepted"),
        undone=lambda base, _: _state(base) == ("first", "offered"),
        tells=True,
    ),
    Scenario(
        "end_sharing",
        _accepted,
        lambda world, _: world.use.sharings.withdraw(OWNER, "m", "rival"),
        finished=lambda base, _: _state(base) == ("", "none"),
        undone=lambda base, _: _state(base) == ("first", "accepted"),
        tells=True,
    ),
    Scenario(
        "end_sharing",
        _accepted,
        lambda world, _: world.use.sharings.decline(THEIR_OWNER, "acme", "m"),
        way="by the other side",
        finished=lambda base, _: _state(base) == ("", "none"),
        undone=lambda base, _: _state(base) == ("first", "accepted"),
        tells=True,
    ),
)
