"""Keys that sign releases and policy sets, and what they signed before."""

from __future__ import annotations

from dataclasses import replace

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.own_release_keys import chain_of, verify_release
from gateway.artifacts.release_keys import ReleaseRing
from gateway.artifacts.signature import LinkStatement, sign_link
from gateway.artifacts.signing_rings import release_purpose
from gateway.composition.foundation import Foundation
from gateway.registry.records import ModelVersion
from policies.author import PolicyAuthor
from tests.kills.registry_changes import add_model, add_version
from tests.kills.scenario import Notes, Scenario
from tests.kills.tenancy_changes import ADMINISTRATOR, NEW_RULES
from tests.kills.world import TENANTS, World

RELEASE = release_purpose("acme")


def _released(world: World) -> Notes:
    """Two versions under links of the first key."""
    add_model(world)
    for number in ("1", "2"):
        add_version(world, number)
        found = _version(world.base, number)
        statement = LinkStatement(
            tenant="acme", model="m", version=number, manifest="a" * 64, owner="b" * 64,
            payloads={"graph": "c" * 64}, created=1,
        )  # fmt: skip
        link = sign_link(world.base.keys.release_key("acme"), statement)
        world.base.stores.registry.replace_version(replace(found, link=link))
    first = world.base.keys.release_key("acme").public_key().public_bytes_raw().hex()
    return {"first": first, "convenor": world.base.keys.convenor_seed("acme")}


def _version(base: Foundation, number: str) -> ModelVersion:
    found = base.stores.registry.get_version("acme", "m", number)
    assert found is not None
    return found


def _verify(base: Foundation) -> bool:
    """Whether both versions verify here."""
    return all(verify_release(base.keys, "acme", _version(base, n).link) for n in ("1", "2"))


def _by(base: Foundation, key: str) -> int:
    """How many versions verify under that key alone."""
    count = 0
    for number in ("1", "2"):
        try:
            ReleaseRing.of(key, "acme", ()).verify(_version(base, number).link)
        except StatementInvalid:
            continue
        count += 1
    return count


def _named(base: Foundation, notes: Notes) -> bool:
    """Whether the second key signs, and the first has named it."""
    ring = base.keys.ring(RELEASE)
    chain = chain_of(ring)
    if (ring.number, ring.successor, len(chain)) != (2, None, 1):
        return False
    known = ReleaseRing.of(notes["first"], "acme", chain)
    own = base.keys.release_key("acme").public_key().public_bytes_raw().hex()
    kept = base.keys.convenor_seed("acme") == notes["convenor"]
    return known.newest == own and _verify(base) and kept


def _lost(base: Foundation, notes: Notes) -> bool:
    """Whether the second key signs all that there is, and nothing is left of the first."""
    ring = base.keys.ring(RELEASE)
    own = base.keys.release_key("acme").public_key().public_bytes_raw().hex()
    alone = (ring.number, ring.successor, ring.former) == (2, None, ())
    return alone and _by(base, own) == 2 and base.keys.convenor_seed("acme") != notes["convenor"]


def _first(base: Foundation, notes: Notes) -> bool:
    ring = base.keys.ring(RELEASE)
    same = base.keys.convenor_seed("acme") == notes["convenor"]
    return (ring.number, ring.successor, _by(base, notes["first"])) == (1, None, 2) and same


def _published(world: World) -> Notes:
    """Sets of two tenants, one with a history."""
    world.base.author.publish("acme", NEW_RULES, "test")
    return {}


def _restored(base: Foundation) -> bool:
    """Whether every history verifies, as at a start."""
    author: PolicyAuthor = base.author
    return author.restore() >= len(TENANTS)


SCENARIOS = (
    Scenario(
        "rotate_release_key",
        _released,
        lambda world, _: world.use.release_keys.rotate(ADMINISTRATOR, "acme", after=1),
        finished=_named,
        undone=_first,
    ),
    Scenario(
        "replace_lost_release_key",
        _released,
        lambda world, _: world.use.release_keys.replace_lost(ADMINISTRATOR, "acme", after=1),
        finished=_lost,
        undone=_first,
    ),
    Scenario(
        "rotate_policy_key",
        _published,
        lambda world, _: world.use.policy_keys.rotate(ADMINISTRATOR, after=1),
        finished=lambda base, _: base.keys.ring("policy").number == 2 and _restored(base),
        undone=lambda base, _: (
            (base.keys.ring("policy").number, base.keys.ring("policy").successor) == (1, None)
            and _restored(base)
        ),
    ),
)
