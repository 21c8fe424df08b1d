from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.author import PolicyAuthor
from policies.bundle import SignedBundle, sign_bundle
from policies.compiled import starter_text
from policies.engine import PolicyEngine
from policies.errors import BundleRefused, EpochExists, PolicySetInvalid
from policies.signers import BundleKeys
from tests.policies.world import APP, CONTEXT, ECG, KEY, PERMIT_ALL, DictStore, clock

SHUT = '@id("none") forbid (principal, action, resource);'


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture
def engine() -> PolicyEngine:
    return PolicyEngine(clock)


@pytest.fixture
def author(engine: PolicyEngine, store: DictStore) -> PolicyAuthor:
    return PolicyAuthor(engine, store, lambda: BundleKeys(KEY), clock)


def test_publishing_stores_signs_chains_and_takes_effect(
    author: PolicyAuthor, engine: PolicyEngine, store: DictStore
) -> None:
    first = author.publish("acme", starter_text(), "ann")
    assert engine.decide(APP, "infer", ECG, CONTEXT).allowed
    second = author.publish("acme", SHUT, "bob")
    decision = engine.decide(APP, "infer", ECG, CONTEXT)
    assert (decision.allowed, decision.epoch) == (False, 2)
    assert (first.epoch, second.epoch, second.previous) == (1, 2, first.digest)
    assert (second.author, second.created) == ("bob", int(clock()))
    BundleKeys(KEY).verify_chain(store.list("acme", after=0, limit=9), "acme")
    assert author.current("acme") == second
    assert engine.epoch("acme") == 2


def test_an_invalid_text_changes_nothing(
    author: PolicyAuthor, engine: PolicyEngine, store: DictStore
) -> None:
    author.publish("acme", PERMIT_ALL, "ann")
    with pytest.raises(PolicySetInvalid):
        author.publish("acme", PERMIT_ALL + "permit", "ann")
    assert len(store.rows) == 1
    assert engine.epoch("acme") == 1


def test_check_tells_an_author_which_policy_is_wrong(author: PolicyAuthor) -> None:
    author.prepare("acme", starter_text())
    with pytest.raises(PolicySetInvalid) as refused:
        author.prepare(
            "acme", '@id("mine") permit (principal, action, resource) when { context.x };'
        )
    assert {problem.policy for problem in refused.value.problems} == {"mine"}


def test_a_restart_restores_what_was_in_force(author: PolicyAuthor, store: DictStore) -> None:
    author.publish("acme", SHUT, "ann")
    author.publish("acme", starter_text(), "ann")
    author.publish("other", SHUT, "ann")
    again = PolicyEngine(clock)
    assert PolicyAuthor(again, store, lambda: BundleKeys(KEY), clock).restore() == 2
    assert again.decide(APP, "infer", ECG, CONTEXT).allowed
    assert (again.epoch("acme"), again.epoch("other")) == (2, 1)


def test_what_was_stored_without_its_author_knowing_can_be_enforced(
    author: PolicyAuthor, engine: PolicyEngine, store: DictStore
) -> None:
    author.publish("acme", PERMIT_ALL, "ann")
    PolicyAuthor(PolicyEngine(clock), store, lambda: BundleKeys(KEY), clock).publish(
        "acme", SHUT, "bob"
    )
    assert engine.epoch("acme") == 1
    newest = author.enforce("acme")
    assert (newest, engine.epoch("acme")) == (author.current("acme"), 2)
    assert author.enforce("acme") == newest
    assert author.enforce("nobody") is None


def _forge(store: DictStore, bundle: SignedBundle) -> None:
    store.rows[bundle.tenant, bundle.epoch] = bundle


@pytest.mark.parametrize("damage", ["text", "gap", "other key", "other tenant", "spliced"])
def test_a_restart_refuses_a_history_that_was_tampered_with(
    author: PolicyAuthor, store: DictStore, damage: str
) -> None:
    first = author.publish("acme", SHUT, "ann")
    second = author.publish("acme", SHUT, "ann")
    theirs = author.publish("other", PERMIT_ALL, "eve")
    match damage:
        case "text":
            _forge(store, replace(second, text=PERMIT_ALL))
        case "gap":
            del store.rows["acme", 1]
        case "other key":
            _forge(
                store, sign_bundle(replace(second, text=PERMIT_ALL), Ed25519PrivateKey.generate())
            )
        case "other tenant":
            store.rows["acme", 1] = theirs
            del store.rows["acme", 2]
        case "spliced":
            _forge(store, sign_bundle(replace(first, text=PERMIT_ALL), KEY))
    with pytest.raises(BundleRefused):
        PolicyAuthor(PolicyEngine(clock), store, lambda: BundleKeys(KEY), clock).restore()


def test_the_engine_refuses_what_is_older_foreign_or_forged(engine: PolicyEngine) -> None:
    one = sign_bundle(SignedBundle("acme", 1, None, "ann", PERMIT_ALL, 1), KEY)
    two = sign_bundle(SignedBundle("acme", 2, one.digest, "ann", SHUT, 2), KEY)
    other_two = sign_bundle(SignedBundle("acme", 2, one.digest, "eve", PERMIT_ALL, 3), KEY)
    stray_three = sign_bundle(SignedBundle("acme", 3, one.digest, "eve", PERMIT_ALL, 3), KEY)
    engine.load(one, KEY.public_key())
    engine.load(two, KEY.public_key(), tenant="acme")
    engine.load(two, KEY.public_key())
    for refused in (one, other_two, stray_three, replace(two, epoch=4)):
        with pytest.raises(BundleRefused):
            engine.load(refused, KEY.public_key())
    with pytest.raises(BundleRefused):
        engine.load(two, KEY.public_key(), tenant="other")
    with pytest.raises(BundleRefused):
        engine.load(two, Ed25519PrivateKey.generate().public_key())
    assert engine.epoch("acme") == 2
    assert not engine.decide(APP, "infer", ECG, CONTEXT).allowed


def test_a_signed_bundle_with_an_invalid_text_does_not_load(engine: PolicyEngine) -> None:
    bundle = sign_bundle(SignedBundle("acme", 1, None, "ann", "permit (", 1), KEY)
    with pytest.raises(PolicySetInvalid):
        engine.load(bundle, KEY.public_key())
    assert engine.epoch("acme") == 0


def test_two_publishers_of_two_processes_never_share_an_epoch(store: DictStore) -> None:
    class Raced(DictStore):
        """Another process publishes between the read and the write."""

        def put(self, bundle: SignedBundle) -> None:
            store.put(bundle)
            raise EpochExists

    author = PolicyAuthor(PolicyEngine(clock), Raced(), lambda: BundleKeys(KEY), clock)
    with pytest.raises(EpochExists):
        author.publish("acme", PERMIT_ALL, "ann")


def test_no_allow_begins_after_a_revoking_publish_returned(
    author: PolicyAuthor, engine: PolicyEngine
) -> None:
    author.publish("acme", PERMIT_ALL, "ann")
    revoked = threading.Event()
    done = threading.Event()
    late: list[bool] = []
    before: list[bool] = []

    def decide() -> None:
        while not done.is_set():
            after = revoked.is_set()
            allowed = engine.decide(APP, "infer", ECG, CONTEXT).allowed
            (late if after else before).append(allowed)
            if after and len(late) > 200:
                return

    threads = [threading.Thread(target=decide) for _ in range(2)]
    for thread in threads:
        thread.start()
    author.publish("acme", SHUT, "ann")
    revoked.set()
    for thread in threads:
        thread.join(timeout=30)
    done.set()
    assert late
    assert not any(late)
