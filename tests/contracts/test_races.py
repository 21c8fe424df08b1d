"""Two at once: one wins, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists, StateConflict
from gateway.errors import AlreadyExists as IdentityTaken
from gateway.registry.records import ModelVersion, Release
from gateway.storage.stores import ControlStores
from policies.errors import EpochExists
from tests.contracts.backends import race
from tests.contracts.samples import (
    ACME,
    APP,
    BUNDLE,
    ECG,
    RELEASE,
    SITE,
    TRIAL,
    VERSION,
    next_bundle,
)
from tests.sharings import sharing

COUNT = 6


def test_one_of_many_gets_the_name(stores: ControlStores) -> None:
    results = race(COUNT, lambda n: stores.tenants.add(replace(ACME, region=str(n))))
    winners = [number for number, result in enumerate(results) if result is None]
    assert len(winners) == 1
    assert sum(isinstance(result, IdentityTaken) for result in results) == COUNT - 1
    stored = stores.tenants.get("acme")
    assert stored is not None
    assert stored.region == str(winners[0])


def test_one_of_many_adds_the_client_the_model_the_version_and_the_site(
    stores: ControlStores,
) -> None:
    clients = race(COUNT, lambda n: stores.clients.add(replace(APP, tenant=f"t{n}")))
    models = race(COUNT, lambda n: stores.registry.add_model(replace(ECG, created=n)))
    versions = race(COUNT, lambda n: stores.registry.add_version(replace(VERSION, created=n)))
    sites = race(COUNT, lambda n: stores.federations.add_site(replace(SITE, name=f"s{n}")))
    assert sum(isinstance(result, IdentityTaken) for result in clients) == COUNT - 1
    for results in (models, versions, sites):
        assert results.count(None) == 1
        assert sum(isinstance(result, AlreadyExists) for result in results) == COUNT - 1
    model = stores.registry.get_model("acme", "ecg")
    assert model is not None
    assert model.sharings == ECG.sharings
    assert stores.federations.site_by_key(SITE.public_key) is not None


def test_one_of_many_replaces_a_revision(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    stores.registry.add_version(VERSION)
    results = race(
        COUNT, lambda n: stores.registry.replace_version(replace(VERSION, reason=str(n)))
    )
    (winner,) = [result for result in results if isinstance(result, ModelVersion)]
    assert sum(isinstance(result, StateConflict) for result in results) == COUNT - 1
    assert stores.registry.get_version("acme", "ecg", "1.0") == winner
    assert winner.revision == 1


def test_one_of_many_moves_the_release_pointer(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    for number in range(COUNT):
        stores.registry.add_version(replace(VERSION, version=str(number)))
    results = race(
        COUNT,
        lambda n: stores.registry.release(replace(RELEASE, version=str(n)), expected=None),
    )
    (winner,) = [result for result in results if isinstance(result, Release)]
    assert sum(isinstance(result, StateConflict) for result in results) == COUNT - 1
    assert stores.registry.releases("acme", "ecg", after=0, limit=9) == [winner]
    versions = stores.registry.list_versions("acme", "ecg", after="", limit=9)
    assert [v.version for v in versions if v.state == "released"] == [winner.version]


def test_a_release_and_a_retirement_do_not_both_win(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    stores.registry.add_version(VERSION)

    def act(number: int) -> object:
        if number:
            return stores.registry.replace_version(replace(VERSION, state="retired"))
        return stores.registry.release(RELEASE, expected=None)

    results = race(2, act)
    assert sum(isinstance(result, StateConflict) for result in results) == 1
    version = stores.registry.get_version("acme", "ecg", "1.0")
    released = stores.registry.current("acme", "ecg") is not None
    assert version is not None
    assert version.state == ("released" if released else "retired")


def test_who_read_a_version_before_it_was_served_again_does_not_retire_it(
    stores: ControlStores,
) -> None:
    """A roll-back comes between the look and the change of a retirement."""
    stores.registry.add_model(ECG)
    for number in ("1", "2"):
        stores.registry.add_version(replace(VERSION, version=number))
    stores.registry.release(replace(RELEASE, version="1"), expected=None)
    stores.registry.release(replace(RELEASE, version="2", previous="1"), expected="1")
    read = stores.registry.get_version("acme", "ecg", "1")
    assert read is not None
    back = replace(RELEASE, version="1", previous="2", action="rollback")
    stores.registry.release(back, expected="2")
    with pytest.raises(StateConflict):
        stores.registry.replace_version(replace(read, state="retired"))
    served = stores.registry.get_version("acme", "ecg", "1")
    assert served is not None
    assert (served.state, served.revision) == ("released", read.revision + 1)


def test_one_of_many_offers_stands_and_only_that_one_is_accepted(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    offers = [sharing("acme", "ecg", "new", id=f"o{n}", accepted=None) for n in range(COUNT)]
    assert race(COUNT, lambda n: stores.registry.offer(offers[n])) == [None] * COUNT
    standing = stores.registry.get_sharing("acme", "ecg", "new")
    assert standing in offers
    results = race(COUNT, lambda n: stores.registry.accept(replace(offers[n], accepted=n + 1)))
    assert results.count(None) == 1
    assert sum(isinstance(result, StateConflict) for result in results) == COUNT - 1
    taken = stores.registry.get_sharing("acme", "ecg", "new")
    assert taken is not None
    assert taken.id == standing.id if standing else False
    assert taken.accepted is not None


def test_every_revocation_gets_an_epoch_of_its_own(stores: ControlStores) -> None:
    def act(number: int) -> int:
        if number % 2:
            return stores.revocations.bump()
        return stores.revocations.revoke_token("iss", "same", number)

    assert sorted(map(str, race(COUNT, act))) == [str(n) for n in range(1, COUNT + 1)]
    assert stores.revocations.epoch() == COUNT
    assert stores.revocations.revoked(0) == {("iss", "same"): COUNT - 2}


def test_no_allowed_site_is_lost(stores: ControlStores) -> None:
    stores.federations.add_federation(replace(TRIAL, sites=()))
    results = race(COUNT, lambda n: stores.federations.allow_site("acme", "trial", f"s{n}"))
    assert results == [None] * COUNT
    found = stores.federations.get_federation("acme", "trial")
    assert found is not None
    assert sorted(found.sites) == [f"s{n}" for n in range(COUNT)]


def test_one_of_many_publishes_an_epoch(stores: ControlStores) -> None:
    stores.bundles.put(BUNDLE)
    results = race(COUNT, lambda n: stores.bundles.put(next_bundle(BUNDLE, f"author{n}")))
    assert results.count(None) == 1
    assert sum(isinstance(result, EpochExists) for result in results) == COUNT - 1
    newest = stores.bundles.latest("acme")
    assert newest is not None
    assert newest.author == f"author{results.index(None)}"
