from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.storage.stores import ControlStores
from policies.author import PolicyAuthor
from policies.bundle import SignedBundle, sign_bundle
from policies.compiled import starter_text
from policies.engine import PolicyEngine
from policies.errors import BundleRefused, EpochExists
from policies.signers import BundleKeys
from tests.contracts.samples import BUNDLE, KEY, next_bundle


def test_bundles_are_appended_and_found(stores: ControlStores) -> None:
    bundles = stores.bundles
    assert bundles.latest("acme") is None
    second = next_bundle(BUNDLE)
    for bundle in (BUNDLE, second):
        bundles.put(bundle)
        assert bundles.latest("acme") == bundle
    assert list(bundles.list("acme", after=0, limit=9)) == [BUNDLE, second]
    assert list(bundles.list("acme", after=1, limit=9)) == [second]
    assert list(bundles.list("acme", after=0, limit=1)) == [BUNDLE]
    assert list(bundles.list("other", after=0, limit=9)) == []


def test_an_epoch_is_given_away_once(stores: ControlStores) -> None:
    stores.bundles.put(BUNDLE)
    with pytest.raises(EpochExists):
        stores.bundles.put(sign_bundle(replace(BUNDLE, text="other"), KEY))
    assert stores.bundles.latest("acme") == BUNDLE


def test_the_tenth_epoch_comes_after_the_ninth(stores: ControlStores) -> None:
    history: list[SignedBundle] = [BUNDLE]
    while len(history) < 11:
        history.append(next_bundle(history[-1]))
    for bundle in history:
        stores.bundles.put(bundle)
    assert stores.bundles.latest("acme") == history[-1]
    assert list(stores.bundles.list("acme", after=0, limit=99)) == history
    BundleKeys(KEY).verify_chain(stores.bundles.list("acme", after=0, limit=99), "acme")


def test_tenants_are_listed_once_in_order(stores: ControlStores) -> None:
    for tenant in ("b", "a", "a-b", "a.b", "a0"):
        first = sign_bundle(replace(BUNDLE, tenant=tenant), KEY)
        stores.bundles.put(first)
        stores.bundles.put(next_bundle(first))
    assert list(stores.bundles.tenants(after="", limit=9)) == ["a", "a-b", "a.b", "a0", "b"]
    assert list(stores.bundles.tenants(after="a-b", limit=2)) == ["a.b", "a0"]


def test_what_no_bundle_may_be_is_not_stored(stores: ControlStores) -> None:
    with pytest.raises(BundleRefused):
        stores.bundles.put(replace(BUNDLE, tenant="\0"))
    assert stores.bundles.latest("\0") is None


def test_an_author_publishes_and_restores_through_the_store(stores: ControlStores) -> None:
    author = PolicyAuthor(
        PolicyEngine(lambda: 5), stores.bundles, lambda: BundleKeys(KEY), lambda: 5
    )
    for tenant in ("acme", "other", "acme"):
        author.publish(tenant, starter_text(), "ann")
    engine = PolicyEngine(lambda: 5)
    assert PolicyAuthor(engine, stores.bundles, lambda: BundleKeys(KEY), lambda: 5).restore() == 2
    assert (engine.epoch("acme"), engine.epoch("other")) == (2, 1)


def test_a_signature_is_replaced_and_nothing_else_of_a_bundle(stores: ControlStores) -> None:
    stores.bundles.put(BUNDLE)
    stores.bundles.put(next_bundle(BUNDLE))
    anew = sign_bundle(BUNDLE, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    stores.bundles.resign(anew)
    assert list(stores.bundles.list("acme", after=0, limit=9)) == [anew, next_bundle(BUNDLE)]
    for other in (replace(BUNDLE, text="other"), replace(BUNDLE, tenant="nobody")):
        with pytest.raises(EpochExists):
            stores.bundles.resign(sign_bundle(other, KEY))
    assert stores.bundles.latest("nobody") is None
