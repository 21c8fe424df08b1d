from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists, StateConflict
from gateway.registry.records import ModelVersion
from gateway.storage.stores import ControlStores
from tests.contracts.samples import ECG, RELEASE, VERSION
from tests.sharings import sharing


def test_a_model_comes_back_as_it_was(stores: ControlStores) -> None:
    assert stores.registry.get_model("acme", "ecg") is None
    stores.registry.add_model(ECG)
    assert stores.registry.get_model("acme", "ecg") == ECG
    assert stores.registry.get_model("other", "ecg") is None


def test_a_taken_model_name_changes_nothing(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    with pytest.raises(AlreadyExists):
        stores.registry.add_model(replace(ECG, personal=False, sharings=frozenset()))
    assert stores.registry.get_model("acme", "ecg") == ECG


def test_two_tenants_use_one_name(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    theirs = replace(ECG, tenant="other", sharings=frozenset())
    stores.registry.add_model(theirs)
    assert stores.registry.get_model("other", "ecg") == theirs
    assert stores.registry.get_model("acme", "ecg") == ECG


def test_models_are_listed_by_name_with_their_sharings(stores: ControlStores) -> None:
    names = ["A", "a", "a.b", "a_b", "b"]
    for name in reversed(names):
        offered = frozenset({sharing("acme", name, f"to-{name}")})
        stores.registry.add_model(replace(ECG, name=name, sharings=offered))
    stores.registry.add_model(replace(ECG, tenant="other", name="aa", sharings=frozenset()))
    listed = stores.registry.list_models("acme", after="", limit=10)
    assert [model.name for model in listed] == names
    for model in listed:
        assert model.sharings == {sharing("acme", model.name, f"to-{model.name}")}
    assert [m.name for m in stores.registry.list_models("acme", after="a", limit=2)] == [
        "a.b",
        "a_b",
    ]
    assert stores.registry.list_models("acme", after="b", limit=2) == []


@pytest.fixture
def registered(stores: ControlStores) -> ControlStores:
    stores.registry.add_model(ECG)
    stores.registry.add_version(VERSION)
    return stores


def test_a_version_comes_back_as_it_was_at_revision_0(stores: ControlStores) -> None:
    stores.registry.add_model(ECG)
    stores.registry.add_version(replace(VERSION, revision=9))
    assert stores.registry.get_version("acme", "ecg", "1.0") == VERSION
    for key in (("other", "ecg", "1.0"), ("acme", "ECG", "1.0"), ("acme", "ecg", "1.00")):
        assert stores.registry.get_version(*key) is None


def test_a_bare_version_comes_back_as_it_was(stores: ControlStores) -> None:
    bare = ModelVersion(
        tenant="acme", model="ecg", version="2", state="quarantined", created=1, created_by="a"
    )
    stores.registry.add_model(ECG)
    stores.registry.add_version(bare)
    assert stores.registry.get_version("acme", "ecg", "2") == bare


def test_a_version_needs_its_model_and_a_free_name(registered: ControlStores) -> None:
    with pytest.raises(AlreadyExists):
        registered.registry.add_version(replace(VERSION, state="rejected"))
    with pytest.raises(StateConflict):
        registered.registry.add_version(replace(VERSION, model="absent"))
    with pytest.raises(StateConflict):
        registered.registry.add_version(replace(VERSION, tenant="other"))
    assert registered.registry.get_version("acme", "ecg", "1.0") == VERSION


def test_a_version_is_replaced_at_its_revision_only(registered: ControlStores) -> None:
    changed = replace(VERSION, state="retired", payloads=(), facts={}, link=b"")
    stored = registered.registry.replace_version(changed)
    assert stored == replace(changed, revision=1)
    assert registered.registry.get_version("acme", "ecg", "1.0") == stored
    for stale in (changed, replace(changed, revision=2)):
        with pytest.raises(StateConflict):
            registered.registry.replace_version(stale)
    with pytest.raises(StateConflict):
        registered.registry.replace_version(replace(stored, version="absent"))
    assert registered.registry.get_version("acme", "ecg", "1.0") == stored


def test_nobody_shares_a_mapping_with_the_registry(registered: ControlStores) -> None:
    found = registered.registry.get_version("acme", "ecg", "1.0")
    assert found is not None
    found.facts["opset"] = "mine"  # type: ignore[index]
    assert registered.registry.get_version("acme", "ecg", "1.0") == VERSION


def test_versions_are_listed_by_name(registered: ControlStores) -> None:
    names = ["0.9", "1.0", "1.0-rc", "10", "2", "A", "a"]
    for name in set(names) - {"1.0"}:
        registered.registry.add_version(replace(VERSION, version=name))
    listed = registered.registry.list_versions("acme", "ecg", after="", limit=99)
    assert [version.version for version in listed] == names
    listed = registered.registry.list_versions("acme", "ecg", after="1.0", limit=2)
    assert [version.version for version in listed] == ["1.0-rc", "10"]
    assert registered.registry.list_versions("other", "ecg", after="", limit=9) == []


def test_a_release_moves_the_pointer_and_the_state(registered: ControlStores) -> None:
    registry = registered.registry
    assert registry.current("acme", "ecg") is None
    first = registry.release(RELEASE, expected=None)
    assert first == replace(RELEASE, sequence=1)
    assert registry.current("acme", "ecg") == first
    released = registry.get_version("acme", "ecg", "1.0")
    assert released == replace(VERSION, state="released", revision=1)

    registry.add_version(replace(VERSION, version="2.0"))
    second = registry.release(replace(RELEASE, version="2.0", previous="1.0"), expected="1.0")
    back = registry.release(
        replace(RELEASE, previous="2.0", action="rollback", at=9), expected="2.0"
    )
    assert (second.sequence, back.sequence) == (2, 3)
    assert registry.current("acme", "ecg") == back
    assert registry.get_version("acme", "ecg", "1.0") == replace(released, revision=2)
    assert registry.releases("acme", "ecg", after=0, limit=9) == [first, second, back]
    assert registry.releases("acme", "ecg", after=1, limit=1) == [second]
    assert registry.releases("other", "ecg", after=0, limit=9) == []


def test_a_release_that_does_not_fit_changes_nothing(registered: ControlStores) -> None:
    registry = registered.registry
    registry.add_version(replace(VERSION, version="2.0"))
    registry.add_version(replace(VERSION, version="r", state="retired"))
    registry.add_version(replace(VERSION, version="q", state="quarantined"))
    registry.release(RELEASE, expected=None)
    history = registry.releases("acme", "ecg", after=0, limit=9)
    for entry, expected in (
        (replace(RELEASE, version="2.0"), None),
        (replace(RELEASE, version="2.0"), "2.0"),
        (replace(RELEASE, version="r"), "1.0"),
        (replace(RELEASE, version="q"), "1.0"),
        (replace(RELEASE, version="absent"), "1.0"),
        (replace(RELEASE, tenant="other"), None),
    ):
        with pytest.raises(StateConflict):
            registry.release(entry, expected=expected)
    assert registry.releases("acme", "ecg", after=0, limit=9) == history
    assert registry.get_version("acme", "ecg", "2.0") == replace(VERSION, version="2.0")
