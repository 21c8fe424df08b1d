"""What a client authenticated with before a rotation goes on to its end, and not longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway.errors import LimitReached
from gateway.identity.client_authentication import secret_hash
from gateway.identity.errors import OAuthRefusal, RegistrationRefused
from gateway.identity.records import MAX_FORMER, Client, FormerCredential
from gateway.identity.registration import with_new_credential
from tests.gateway.identity.fakes import ED25519, NOW, OTHER, SECRET, World, assertion, basic

DAY = 86400


def rotate(
    world: World, client_id: str, jwks: Mapping[str, Any] | None = None, overlap: int = DAY
) -> tuple[Client, str | None]:
    client, secret = with_new_credential(
        world.revocation_state.look_up(client_id)[0] or world.service,
        jwks,
        now=int(world.clock()),
        overlap=overlap,
        random_bytes=lambda n: world.clock.now.hex().encode().ljust(n, b"-")[:n],
    )
    world.revocation_state.save_client(client)
    world.clock.now += 1
    return client, secret


def enters(world: World, form: dict[str, str] | None = None, header: bytes | None = None) -> bool:
    try:
        world.client_authenticator.authenticate(form or {}, header)
    except OAuthRefusal:
        return False
    return True


def public(key: OKPKey, **more: str) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), **more}]}


def named(key: OKPKey, kid: str | None, world: World) -> dict[str, str]:
    now = int(world.clock())
    header = {} if kid is None else {"kid": kid}
    return assertion(key, header=header, iat=now, exp=now + 60)


def test_the_old_secret_goes_on_to_its_end_and_the_new_one_beyond() -> None:
    world = World()
    _, secret = rotate(world, "service")
    assert secret is not None
    world.clock.now = NOW + DAY - 1
    assert enters(world, header=basic())
    assert enters(world, header=basic(secret=secret))
    world.clock.now = NOW + DAY
    assert not enters(world, header=basic())
    assert enters(world, header=basic(secret=secret))


def test_without_an_overlap_the_old_secret_and_all_before_it_end_at_once() -> None:
    world = World()
    _, second = rotate(world, "service")
    _, third = rotate(world, "service", overlap=0)
    assert [enters(world, header=basic(secret=s)) for s in (SECRET, str(second), str(third))] == [
        False,
        False,
        True,
    ]


def test_an_answer_that_was_lost_locks_nobody_out() -> None:
    """Whoever repeats the call replaces the secret that nobody got; the one in use goes on."""
    world = World()
    rotate(world, "service")  # its answer is lost
    _, secret = rotate(world, "service")
    assert enters(world, header=basic())
    assert enters(world, header=basic(secret=str(secret)))


def test_the_number_of_secrets_is_bounded_unless_all_are_to_end() -> None:
    world = World()
    for _ in range(MAX_FORMER):
        rotate(world, "service")
    with pytest.raises(LimitReached) as refused:
        rotate(world, "service")
    assert int(refused.value.retry_after) <= DAY
    assert enters(world, header=basic())
    client, _ = rotate(world, "service", overlap=0)
    assert client.former == ()


def test_no_secret_is_the_hash_of_nothing() -> None:
    """Slots are filled up, so that all clients take the same work: what fills opens nothing."""
    world = World()
    former = (FormerCredential(int(NOW) + DAY, None, None),)
    world.revocation_state.save_client(replace(world.service, former=former))
    for secret in ("", "\0" * 32):
        assert not enters(world, header=basic(secret=secret))
    assert secret_hash("") != bytes(32)


def test_old_keys_go_on_to_their_end_told_apart_by_their_id() -> None:
    world = World()
    rotate(world, "machine", public(ED25519, kid="a"), overlap=0)
    rotate(world, "machine", public(OTHER, kid="b"))
    assert enters(world, named(ED25519, "a", world))
    assert enters(world, named(OTHER, "b", world))
    assert not enters(world, named(ED25519, "b", world))
    assert not enters(world, named(OTHER, "a", world))
    world.clock.now += DAY
    assert not enters(world, named(ED25519, "a", world))
    assert enters(world, named(OTHER, "b", world))


def test_keys_without_an_id_go_on_side_by_side() -> None:
    """A client whose library names no key goes on with the old one and can take the new one."""
    world = World()
    rotate(world, "machine", public(ED25519), overlap=0)
    rotate(world, "machine", public(OTHER))
    for key in (ED25519, OTHER):
        assert enters(world, named(key, None, world))
    third = OKPKey.generate_key("Ed25519")
    assert not enters(world, named(third, None, world))
    world.clock.now += DAY
    assert not enters(world, named(ED25519, None, world))
    assert enters(world, named(OTHER, None, world))


@pytest.mark.parametrize(
    ("client_id", "jwks"),
    [
        ("service", public(OTHER)),  # it has a secret
        ("machine", None),  # it has keys
        ("machine", {"keys": []}),
        ("machine", {"keys": [{"kty": "oct", "k": "AA"}]}),
        ("machine", {"keys": [OTHER.as_dict(private=True)]}),
    ],
)
def test_what_does_not_fit_the_client_changes_nothing(
    client_id: str, jwks: Mapping[str, Any] | None
) -> None:
    world = World()
    before = world.revocation_state.look_up(client_id)
    with pytest.raises(RegistrationRefused):
        rotate(world, client_id, jwks)
    assert world.revocation_state.look_up(client_id) == before


def test_a_new_key_needs_an_id_of_its_own() -> None:
    world = World()
    rotate(world, "machine", public(ED25519, kid="a"), overlap=0)
    with pytest.raises(RegistrationRefused):
        rotate(world, "machine", public(OTHER, kid="a"))
    rotate(world, "machine", public(ED25519, kid="a"))  # the same key is no other one
    rotate(world, "machine", public(OTHER, kid="a"), overlap=0)  # nothing of before goes on


def test_a_disabled_client_does_not_come_in_with_what_it_had_before() -> None:
    world = World()
    client, _ = rotate(world, "service")
    world.revocation_state.save_client(replace(client, disabled=True))
    assert not enters(world, header=basic())
