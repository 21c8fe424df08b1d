from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.inference.errors import ModelNotFound
from gateway.inference.routing import Routes
from gateway.registry.records import Model, ModelVersion, Release, VersionState
from gateway.storage.memory_registry import MemoryRegistry
from tests.gateway.parts import NOW, TENANT, House, house
from tests.sharings import sharing


class Reads(MemoryRegistry):
    """Counts look-ups of models, and lets something happen in the middle of one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.meanwhile: Callable[[], None] | None = None

    def get_model(self, tenant: str, name: str) -> Model | None:
        self.count += 1
        return super().get_model(tenant, name)

    def get_version(self, tenant: str, model: str, version: str) -> ModelVersion | None:
        found = super().get_version(tenant, model, version)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return found


@pytest.fixture
def building() -> Iterator[House]:
    with house("rival") as made:
        yield made


@pytest.fixture
def registry(building: House) -> Reads:
    made = Reads()
    made.add_model(Model(TENANT, "m", False, "internal", frozenset(), int(NOW), "test"))
    for number in ("1", "2"):
        made.add_version(version(number, "candidate"))
    made.release(Release(TENANT, "m", "1", None, "promote", "test", int(NOW)), expected=None)
    return made


@pytest.fixture
def routes(building: House, registry: Reads) -> Routes:
    return Routes(registry, building.guard, lambda: building.revocation_state.epoch, lambda: NOW)


def version(number: str, state: VersionState) -> ModelVersion:
    return ModelVersion(TENANT, "m", number, state, int(NOW), "test", owner_bundle=b"o", link=b"l")


def put(registry: Reads, number: str, state: VersionState) -> None:
    registry.add_version(version(number, state))


def test_a_name_goes_to_the_release_and_a_path_to_its_version(routes: Routes) -> None:
    assert routes.resolve(TENANT, "m", None).version.version == "1"
    assert routes.resolve(TENANT, "m", "1").version.version == "1"
    candidate = routes.resolve(TENANT, "m", "2")
    assert (candidate.version.version, candidate.facts.stage) == ("2", "candidate")
    assert candidate.facts.uid == ("ModelVersion", f"{TENANT}/m@2")


def test_the_facts_for_policy_are_those_of_the_records(routes: Routes, registry: Reads) -> None:
    registry.add_model(
        Model(
            TENANT,
            "p",
            True,
            "health",
            frozenset({sharing(TENANT, "p", "rival", versions=frozenset({"1"}))}),
            int(NOW),
            "test",
        )
    )
    registry.add_version(replace(version("1", "candidate"), model="p", link=b""))
    facts = routes.resolve(TENANT, "p", "1").facts
    assert (facts.personal, facts.data_class, facts.shared_with) == (
        True,
        "health",
        frozenset({"rival"}),
    )
    assert facts.signed is False
    assert routes.resolve(TENANT, "m", "1").facts.signed is True


@pytest.mark.parametrize(
    ("tenant", "model", "number"),
    [
        (TENANT, "m", "retired"),
        (TENANT, "m", "rejected"),
        (TENANT, "m", "quarantined"),
        (TENANT, "m", "9"),
        (TENANT, "absent", None),
        (TENANT, "absent", "1"),
        (TENANT, "unreleased", None),
        ("rival", "m", None),
        ("rival", "m", "1"),
        (TENANT, "M", None),
        (TENANT, "", None),
        (TENANT, "m/../m", None),
        (TENANT, "m\n", None),
        (TENANT, "m" * 64, None),
        (TENANT, "m", ""),
        (TENANT, "m", "1\n"),
        (TENANT, "m", "../1"),
        (TENANT, "m", "1" * 33),
    ],
)
def test_whatever_is_not_to_be_called_looks_the_same(
    routes: Routes, registry: Reads, tenant: str, model: str, number: str | None
) -> None:
    for state in ("retired", "rejected", "quarantined"):
        put(registry, state, state)
    registry.add_model(Model(TENANT, "unreleased", False, "internal", frozenset(), 0, "test"))
    with pytest.raises(ModelNotFound) as refused:
        routes.resolve(tenant, model, number)
    assert str(refused.value) == ModelNotFound.message
    with suppress(ModelNotFound):  # where it is remembered that there is nothing
        assert routes.known(tenant, model, number) is None


def test_names_that_break_the_rules_never_reach_the_store(routes: Routes, registry: Reads) -> None:
    for model, number in (("M", None), ("m/../m", None), ("m", "../1"), ("m", "")):
        with pytest.raises(ModelNotFound):
            routes.resolve(TENANT, model, number)
    assert registry.count == 0


def test_a_route_is_remembered_for_its_own_question_only(routes: Routes, registry: Reads) -> None:
    assert routes.known(TENANT, "m", None) is None
    target = routes.resolve(TENANT, "m", None)
    reads = registry.count
    assert routes.known(TENANT, "m", None) is target
    assert registry.count == reads
    for other in (("rival", "m", None), (TENANT, "m", "1"), (TENANT, "n", None)):
        assert routes.known(*other) is None


def test_memory_falls_with_the_epoch(routes: Routes, registry: Reads, building: House) -> None:
    assert routes.known(TENANT, "m", None) is None
    routes.resolve(TENANT, "m", None)
    registry.release(Release(TENANT, "m", "2", "1", "promote", "test", int(NOW)), expected="1")
    remembered = routes.known(TENANT, "m", None)
    assert remembered is not None, "whoever changes the registry raises the epoch"
    assert remembered.version.version == "1"
    building.changed()
    assert routes.known(TENANT, "m", None) is None
    assert routes.resolve(TENANT, "m", None).version.version == "2"


@pytest.mark.parametrize("asked_again", [False, True])
def test_what_was_read_while_something_changed_is_not_remembered(
    routes: Routes, registry: Reads, building: House, asked_again: bool
) -> None:
    """The version is retired after it was read: its caller may go on, a later one may not."""
    assert routes.known(TENANT, "m", "2") is None

    def retire() -> None:
        stored = MemoryRegistry.get_version(registry, TENANT, "m", "2")
        assert stored is not None
        registry.replace_version(replace(stored, state="retired"))
        building.changed()
        if asked_again:  # another request has made the memory of the new epoch meanwhile
            assert routes.known(TENANT, "m", "2") is None

    registry.meanwhile = retire
    assert routes.resolve(TENANT, "m", "2").version.state == "candidate"
    assert routes.known(TENANT, "m", "2") is None
    with pytest.raises(ModelNotFound):
        routes.resolve(TENANT, "m", "2")


def test_that_there_is_nothing_is_remembered_until_something_changes(
    routes: Routes, registry: Reads, building: House
) -> None:
    for _ in range(3):
        with pytest.raises(ModelNotFound):
            routes.resolve(TENANT, "absent", None)
    assert registry.count == 1
    with pytest.raises(ModelNotFound):
        routes.known(TENANT, "absent", None)
    building.changed()
    assert routes.known(TENANT, "absent", None) is None
