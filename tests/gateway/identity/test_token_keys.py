"""Tokens across a rotation of the key that signs them."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.artifacts.keys import FormerKey, SigningRing
from gateway.identity.errors import InvalidToken
from gateway.identity.token_keys import key_id
from gateway.identity.tokens import TOKEN_SECONDS, parse_access_token
from tests.gateway.identity.fakes import World, basic

OVERLAP = 3 * TOKEN_SECONDS


def rotate(world: World, overlap: int = OVERLAP) -> None:
    """What a rotation leaves in the keystore, taken over."""
    ring, now = world.ring, int(world.clock())
    old = ring.key.public_key().public_bytes_raw()
    former = FormerKey(ring.number, old, ring.made, now, now + overlap)
    kept = (former, *ring.former) if overlap else ()
    world.ring = SigningRing(ring.number + 1, now, Ed25519PrivateKey.generate(), former=kept)
    world.token_keys.reload()


def accepted(world: World, token: str) -> bool:
    async def ask() -> bool:
        try:
            await world.authenticator.authenticate(b"Bearer " + token.encode(), None, "GET", "/")
        except InvalidToken:
            return False
        return True

    return asyncio.run(ask())


def kids(world: World) -> list[str]:
    return [jwk["kid"] for jwk in world.server.jwks["keys"]]


def kid_of(token: str) -> str | None:
    return parse_access_token(token.encode())[1]


def test_a_token_of_the_old_key_is_accepted_to_its_own_end() -> None:
    world = World()
    token = world.bearer()
    rotate(world)
    assert accepted(world, token)
    world.clock.now += TOKEN_SECONDS - 1
    assert accepted(world, token)
    world.clock.now += 1
    assert not accepted(world, token)


def test_the_new_key_signs_from_the_rotation_on() -> None:
    world = World()
    before = world.bearer()
    rotate(world)
    after = world.bearer()
    assert kid_of(after) != kid_of(before)
    assert kids(world) == [kid_of(after), kid_of(before)]
    assert accepted(world, after)


def test_the_old_key_is_published_to_its_end_and_accepted_no_longer() -> None:
    world = World()
    old = kids(world)
    rotate(world, overlap=100)
    token = world.forged({"kid": old[0]})  # what whoever stole the old key could make
    assert kids(world)[1:] == old
    world.clock.now += 99
    assert kids(world)[1:] == old
    assert world.token_keys.find(old[0]) is not None
    world.clock.now += 1
    assert old[0] not in kids(world)
    assert world.token_keys.find(old[0]) is None
    assert not accepted(world, token.decode())


def test_a_remembered_token_is_forgotten_when_its_key_ends() -> None:
    """A token that was just verified is remembered for a minute: not past the end of its key."""
    world = World()
    token = world.bearer()
    rotate(world, overlap=30)
    assert accepted(world, token)
    world.clock.now += 29
    assert accepted(world, token)
    world.clock.now += 1
    assert not accepted(world, token)


def test_without_an_overlap_a_token_of_the_old_key_is_refused_at_once_though_remembered() -> None:
    world = World()
    token = world.bearer()
    assert accepted(world, token)
    rotate(world, overlap=0)
    assert not accepted(world, token)
    assert len(kids(world)) == 1


def test_after_two_rotations_all_three_are_accepted() -> None:
    world = World()
    tokens = [world.bearer()]
    for _ in range(2):
        rotate(world)
        tokens.append(world.bearer())
    assert len(kids(world)) == 3
    assert [accepted(world, token) for token in tokens] == [True] * 3


def test_a_token_of_the_old_key_can_be_revoked() -> None:
    world = World()
    token = world.bearer()
    rotate(world)
    revocation = world.server.read_revocation({"token": token}, basic())
    assert revocation is not None
    claims = revocation.claims
    world.server.revoke(claims.issuer, claims.token_id, claims.expires)
    assert not accepted(world, token)


def test_an_id_names_one_key() -> None:
    first, second = (bytes([n]) * 32 for n in (1, 2))
    public = [Ed25519PrivateKey.from_private_bytes(s).public_key() for s in (first, second)]
    ids = [key_id(key.public_bytes_raw()) for key in public]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("kid", [None, "", "nonsense"])
def test_what_names_no_key_finds_none(kid: str | None) -> None:
    assert World().token_keys.find(kid) is None
