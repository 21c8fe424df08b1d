"""What every store promises of sharings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import StateConflict
from gateway.registry.records import Sharing
from gateway.storage.stores import ControlStores
from tests.contracts.samples import ECG
from tests.sharings import sharing

OFFER = sharing("acme", "ecg", "new", id="first", accepted=None, accepted_by="")


@pytest.fixture
def registered(stores: ControlStores) -> ControlStores:
    stores.registry.add_model(ECG)
    return stores


def test_a_sharing_comes_back_as_it_was(registered: ControlStores) -> None:
    for made in ECG.sharings:
        assert registered.registry.get_sharing("acme", "ecg", made.tenant) == made
    for key in (("acme", "ecg", "nobody"), ("other", "ecg", "other"), ("acme", "ECG", "other")):
        assert registered.registry.get_sharing(*key) is None


def test_an_offer_takes_the_place_of_the_one_before_and_of_no_other(
    registered: ControlStores,
) -> None:
    registered.registry.offer(OFFER)
    registered.registry.offer(replace(OFFER, id="second", download=True))
    found = registered.registry.get_model("acme", "ecg")
    assert found is not None
    assert found.sharings == ECG.sharings | {replace(OFFER, id="second", download=True)}


def test_an_offer_of_an_absent_model_is_refused(registered: ControlStores) -> None:
    for offer in (replace(OFFER, model="absent"), replace(OFFER, owner="other")):
        with pytest.raises(StateConflict):
            registered.registry.offer(offer)
        assert registered.registry.get_sharing(offer.owner, offer.model, "new") is None


def test_only_the_offer_of_that_id_is_accepted(registered: ControlStores) -> None:
    registered.registry.offer(OFFER)
    for wrong in (replace(OFFER, id="second"), replace(OFFER, tenant="nobody")):
        with pytest.raises(StateConflict):
            registered.registry.accept(replace(wrong, accepted=5))
    assert registered.registry.get_sharing("acme", "ecg", "new") == OFFER
    taken = replace(OFFER, accepted=5, accepted_by="theirs")
    registered.registry.accept(taken)
    assert registered.registry.get_sharing("acme", "ecg", "new") == taken


def test_an_end_takes_the_sharing_of_that_id_away_and_once_is_enough(
    registered: ControlStores,
) -> None:
    registered.registry.offer(OFFER)
    registered.registry.end(replace(OFFER, id="of before"))
    assert registered.registry.get_sharing("acme", "ecg", "new") == OFFER
    for _ in range(2):
        registered.registry.end(OFFER)
        assert registered.registry.get_sharing("acme", "ecg", "new") is None
    with pytest.raises(StateConflict):
        registered.registry.accept(replace(OFFER, accepted=5))


def test_what_a_tenant_was_offered_is_listed_by_owner_and_model(stores: ControlStores) -> None:
    made: list[Sharing] = []
    for owner in ("b", "a"):
        for name in ("n", "m"):
            offered = sharing(owner, name, "new")
            made.append(offered)
            others = frozenset({offered, sharing(owner, name, "third")})
            stores.registry.add_model(replace(ECG, tenant=owner, name=name, sharings=others))
    listed = stores.registry.shared_to("new", after=("", ""), limit=9)
    assert [(one.owner, one.model) for one in listed] == [
        ("a", "m"),
        ("a", "n"),
        ("b", "m"),
        ("b", "n"),
    ]
    assert set(listed) == set(made)
    page = stores.registry.shared_to("new", after=("a", "m"), limit=2)
    assert [(one.owner, one.model) for one in page] == [("a", "n"), ("b", "m")]
    assert stores.registry.shared_to("nobody", after=("", ""), limit=9) == []
