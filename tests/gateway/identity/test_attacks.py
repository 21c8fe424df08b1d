"""None of the attacks is accepted for any maker, and each ends as our 401 that repeats nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.identity.errors import InvalidToken
from gateway.identity.issuers import COOL_DOWN_SECONDS

from .attacks import ATTACKS, THIEF
from .makers import KEY, MAKERS, MakerHouse
from .test_key_admission import roca_modulus, rsa_number, small_rsa

EACH = pytest.mark.parametrize("kind", [maker.kind for maker in MAKERS])
SAID = {
    "the access token is not valid",
    "the access token has expired",
    "the access token must be bound as its client is registered",
}
"""All that a caller is told of a token that is not accepted."""


@pytest.fixture(scope="module")
def houses() -> Iterator[dict[str, MakerHouse]]:
    made = {maker.kind: MakerHouse(maker) for maker in MAKERS}
    running = [house.running() for house in made.values()]
    for one in running:
        one.__enter__()
    yield made
    for one in running:
        one.__exit__(None, None, None)


def test_there_are_at_least_sixty() -> None:
    assert len(ATTACKS) >= 60


@EACH
def test_what_the_attacks_begin_with_is_accepted(houses: dict[str, MakerHouse], kind: str) -> None:
    """Else they would fail for another reason than their lie."""
    assert houses[kind].call(houses[kind].token()).client_id == "service"


@EACH
@pytest.mark.parametrize("attack", list(ATTACKS))
def test_an_attack_is_refused(houses: dict[str, MakerHouse], kind: str, attack: str) -> None:
    house = houses[kind]
    before = house.world.authenticator.counters.hits
    for _ in range(2):
        with pytest.raises(InvalidToken) as refused:
            house.call(ATTACKS[attack](house))
        assert refused.value.public in SAID
        assert refused.value.challenge.startswith('Bearer error="invalid_token", ')
    assert house.world.authenticator.counters.hits == before, "nothing of it is remembered"


@EACH
def test_attacks_cost_the_issuer_one_look_at_its_keys(
    houses: dict[str, MakerHouse], kind: str
) -> None:
    house = houses[kind]
    house.call(house.token())
    before = len(house.server.requests)
    for attack in ATTACKS.values():
        with pytest.raises(InvalidToken):
            house.call(attack(house))
    assert len(house.server.requests) == before


@EACH
def test_a_tenant_outside_those_of_the_issuer_is_never_reached(kind: str) -> None:
    """Whatever a token claims: its client is registered here, in one tenant."""
    maker = next(one for one in MAKERS if one.kind == kind)
    with MakerHouse(maker, tenants=("south",)).running() as house:
        claims: dict[str, str]
        for claims in ({}, {"tenant": "north"}, {"tid": "north"}, {"org_id": "north"}):
            with pytest.raises(InvalidToken):
                house.call(house.token(**claims))
    named = {"tenant_claim": "org", "tenant_names": {"7": "north", "8": "south"}}
    with MakerHouse(maker, tenants=("north", "south"), **named).running() as house:
        assert house.call(house.token(org="7")).tenant == "north"
        for org in ("8", "north", "9", "", None, ["7"], {"7": 1}, 7, ...):
            with pytest.raises(InvalidToken) as refused:
                house.call(house.token(org=org))
            assert refused.value.rule == "tenant"


def test_the_directory_of_entra_cannot_be_swapped(houses: dict[str, MakerHouse]) -> None:
    entra = houses["entra"]
    others: list[Any] = ["f8cdef31-a31e-4b4a-93e4-5f571e91255a", ..., None, ["x"], "v2.0x", {}]
    for tid in others:
        with pytest.raises(InvalidToken) as refused:
            entra.call(entra.token(tid=tid))
        assert refused.value.rule == "issuer"


@EACH
def test_weak_keys_of_an_issuer_verify_nothing(kind: str) -> None:
    """A lying issuer, or one whose generator is broken: 1024 bits, ROCA, private."""
    maker = next(one for one in MAKERS if one.kind == kind)
    for weak in (small_rsa(), rsa_number(roca_modulus()), KEY.as_dict(private=True)):
        house = MakerHouse(maker)
        house.publish({**weak, "kid": "k1"}, {**KEY.as_dict(private=False), "kid": "other"})
        with house.running(), pytest.raises(InvalidToken) as refused:
            house.call(house.token())
        assert refused.value.public in SAID


def test_the_keys_of_one_issuer_are_good_for_no_other() -> None:
    """An issuer that lies publishes the id of another one's key, or that very key."""
    keycloak, okta = (next(one for one in MAKERS if one.kind == k) for k in ("keycloak", "okta"))
    with MakerHouse(keycloak).running() as honest, MakerHouse(okta).running() as lying:
        thief = {**THIEF.as_dict(private=False), "kid": "k1", "use": "sig", "alg": "RS256"}
        lying.publish(thief)
        honest.world.issuers.replace([honest.trust, lying.trust])
        with pytest.raises(InvalidToken) as refused:
            honest.call(honest.signed_by(THIEF, "RS256"))
        assert refused.value.rule == "signature"
        with pytest.raises(InvalidToken):
            honest.call(lying.token())
        assert honest.call(honest.token()).issuer == honest.issuer
        assert honest.call(lying.signed_by(THIEF, "RS256")).issuer == lying.issuer


def test_keys_that_rotate_are_followed_and_a_withdrawn_one_is_gone() -> None:
    okta = next(one for one in MAKERS if one.kind == "okta")
    with MakerHouse(okta).running() as house:
        assert house.call(house.token())
        fresh = {**THIEF.as_dict(private=False), "kid": "k2", "use": "sig", "alg": "RS256"}
        house.publish(fresh)
        house.world.monotonic.now += COOL_DOWN_SECONDS
        assert house.call(house.signed_by(THIEF, "RS256", {"kid": "k2"}))
        with pytest.raises(InvalidToken):
            house.call(house.token())


@EACH
def test_a_storm_of_unknown_ids_costs_the_issuer_one_fetch_in_a_cool_down(kind: str) -> None:
    maker = next(one for one in MAKERS if one.kind == kind)
    with MakerHouse(maker).running() as house:
        house.call(house.token())
        before = len(house.server.requests)
        house.world.monotonic.now += COOL_DOWN_SECONDS
        for n in range(200):
            with pytest.raises(InvalidToken):
                house.call(house.token({"kid": f"invented-{n}"}))
        assert len(house.server.requests) == before + 2, "discovery and keys, once"
