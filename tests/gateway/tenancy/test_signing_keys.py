"""Keys of releases and policy sets, as administrators replace them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.artifacts.own_release_keys import chain_of
from gateway.artifacts.release_keys import MAX_SUCCESSIONS
from gateway.artifacts.signing_rings import release_purpose
from gateway.authorization.recorder import Call
from gateway.errors import LimitReached, NotFound, StateConflict
from gateway.federation.trained import convenor_key
from policies.bundle import sign_bundle
from policies.compiled import starter_text
from policies.errors import BundleRefused
from policies.signers import BundleKeys
from tests.gateway.parts import TENANT, House, call, client_record, house

ADMINISTRATOR = call("administrator", "platform")
SHUT = '@id("shut")\nforbid (principal, action, resource);\n'


@pytest.fixture
def home() -> Iterator[House]:
    with house("rival") as made:
        made.stores.clients.add(
            client_record("platform-administrator", "platform", "administrator")
        )
        yield made


def order(home: House, kind: str, tenant: str | None = None, *, lost: bool = False) -> None:
    assert home.use.key_orders.order(ADMINISTRATOR, kind, tenant, None, lost=lost) is None


@pytest.mark.parametrize("who", [call("owner"), call("officer", "rival")])
def test_nobody_but_the_platforms_administrators_replaces_them(home: House, who: Call) -> None:
    orders = home.use.key_orders
    asks: tuple[Callable[[], object], ...] = (
        lambda: orders.order(who, "policy", None, None),
        lambda: orders.order(who, "release", TENANT, None),
        lambda: orders.order(who, "release", TENANT, None, lost=True),
        lambda: home.use.release_keys.replace_lost(who, TENANT, after=1),
        lambda: home.use.policy_keys.rotate(who, after=1),
    )
    for ask in asks:
        with pytest.raises(NotFound):
            ask()
    assert home.use.key_list.policy().number == 1
    assert home.use.key_list.one("release", TENANT).number == 1


# Policy sets.


def test_every_set_stays_in_force_and_its_history_verifies(home: House) -> None:
    home.author.publish(TENANT, starter_text() + SHUT, "ann")
    before = home.stores.bundles.latest(TENANT)
    order(home, "policy")
    after = home.stores.bundles.latest(TENANT)
    assert before is not None
    assert after is not None
    assert (after.digest, after.signature != before.signature) == (before.digest, True)
    home.author.publish(TENANT, starter_text(), "ann")
    order(home, "policy")
    assert home.author.restore() == 3
    assert home.engine.epoch(TENANT) == 3
    assert [one.number for one in home.use.key_list.policy().former] == [2, 1]


def test_a_key_that_was_replaced_brings_no_set_into_force(home: House) -> None:
    """Somebody has a copy of the old key, and writes to the database."""
    old = home.base.keys.signing_key("policy")
    order(home, "policy")
    newest = home.stores.bundles.latest(TENANT)
    assert newest is not None
    forged = replace(newest, epoch=newest.epoch + 1, previous=newest.digest, text=SHUT)
    home.stores.bundles.put(sign_bundle(forged, old))
    with pytest.raises(BundleRefused):
        home.author.restore()
    with pytest.raises(BundleRefused):
        home.author.enforce(TENANT)


def test_nor_does_it_change_a_set_of_before(home: House) -> None:
    home.author.publish(TENANT, starter_text() + SHUT, "ann")
    old = home.base.keys.signing_key("policy")
    order(home, "policy")
    first, *_ = home.stores.bundles.list(TENANT, after=0, limit=1)
    forged = [sign_bundle(replace(first, text=SHUT), old)]
    forged += home.stores.bundles.list(TENANT, after=1, limit=9)
    ring = home.base.keys.ring("policy")
    former = tuple(Ed25519PublicKey.from_public_bytes(one.public) for one in ring.former)
    with pytest.raises(BundleRefused, match="history"):
        BundleKeys(ring.key, former=former).verify_chain(forged, TENANT)


# Releases.


def test_former_keys_are_listed_with_what_names_the_next(home: House) -> None:
    order(home, "release", TENANT)
    order(home, "release", TENANT)
    key = home.use.key_list.one("release", TENANT)
    assert (key.number, [one.number for one in key.former]) == (3, [2, 1])
    assert all("by_before" in one.endorsement for one in key.former)
    order(home, "release", TENANT, lost=True)
    key = home.use.key_list.one("release", TENANT)
    assert (key.number, key.former) == (4, ())
    order(home, "release", TENANT)
    chain = chain_of(home.base.keys.ring(release_purpose(TENANT)))
    assert [one.statement.number for one in chain] == [5]


def test_a_tenant_finds_it_in_its_own_log_and_others_do_not(home: House) -> None:
    order(home, "release", TENANT)
    order(home, "release", TENANT, lost=True)
    about = f"Key::release/{TENANT}"
    told = [e.get("reason") for e in home.events() if e.get("resource") == about]
    assert told == ["rotate_release_key", "replace_lost_release_key"]
    assert not [e for e in home.events("rival") if e.get("resource") == about]


def test_what_a_federation_trained_keeps_its_owner_until_the_key_is_lost(home: House) -> None:
    keys = home.base.keys

    def owner() -> object:
        return convenor_key(keys.convenor_seed(TENANT)).public_key().public_numbers()

    first = owner()
    order(home, "release", TENANT)
    order(home, "release", TENANT)
    assert owner() == first
    order(home, "release", TENANT, lost=True)
    assert owner() != first


def test_an_order_for_a_key_that_was_replaced_meanwhile_does_nothing(home: House) -> None:
    for act in (home.use.release_keys.rotate, home.use.release_keys.replace_lost):
        with pytest.raises(StateConflict):
            act(ADMINISTRATOR, TENANT, after=7)
    assert home.base.keys.ring(release_purpose(TENANT)).successor is None
    assert home.use.key_list.one("release", TENANT).number == 1


def test_a_chain_that_partners_would_refuse_is_not_made(home: House) -> None:
    for _ in range(MAX_SUCCESSIONS):
        order(home, "release", TENANT)
    with pytest.raises(LimitReached, match="lost"):
        order(home, "release", TENANT)
    order(home, "release", TENANT, lost=True)
    order(home, "release", TENANT)


def test_destroyed_keys_take_their_former_ones_along(home: House) -> None:
    order(home, "release", TENANT)
    home.base.keys.destroy(TENANT)
    with pytest.raises(NotFound):
        home.use.key_orders.order(ADMINISTRATOR, "release", "nobody", None)
    assert list(home.use.key_list.files(TENANT)) == []
