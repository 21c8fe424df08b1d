from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from gateway.engine.errors import EnginesDown
from gateway.inference.loaders import AHEAD_PLACES, PLACES, TENANT_LOADS, Loaders
from tests.audit.samples import until


class Hanging:
    """Loads that hang until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began: list[str] = []

    def of(self, name: str) -> Any:
        def load() -> str:
            self.began.append(name)
            assert self.go.wait(30)
            return name

        return load


@pytest.fixture
def hanging() -> Any:
    made = Hanging()
    yield made
    made.go.set()


def test_one_tenant_has_a_share_however_many_loads_it_asks_for(hanging: Hanging) -> None:
    loaders = Loaders(place_seconds=1e9)
    mine = [loaders.submit("acme", hanging.of(f"a{n}")) for n in range(20)]
    assert loaders.submit("rival", lambda: "r").result(30) == "r"
    until(lambda: len(hanging.began) == TENANT_LOADS)
    hanging.go.set()
    assert [each.result(30) for each in mine] == [f"a{n}" for n in range(20)]


def test_loads_that_hang_keep_no_other_tenants_from_beginning(hanging: Hanging) -> None:
    """Four tenants whose loads hung once had every thread, for as long as a load may take."""
    loaders = Loaders(place_seconds=0.05)
    for tenant in range(3 * PLACES):
        for number in range(TENANT_LOADS + 1):
            loaders.submit(f"t{tenant}", hanging.of(f"{tenant}.{number}"), ahead=bool(number))
    assert loaders.submit("rival", lambda: "ready").result(30) == "ready"
    until(lambda: len(hanging.began) == 3 * PLACES * TENANT_LOADS)


def test_places_are_not_given_up_by_loads_that_are_quick(hanging: Hanging) -> None:
    loaders = Loaders(places=2, place_seconds=1e9)
    for tenant in ("a", "b", "c"):
        loaders.submit(tenant, hanging.of(tenant))
    until(lambda: len(hanging.began) == 2)
    assert sorted(hanging.began) == ["a", "b"]
    hanging.go.set()
    until(lambda: len(hanging.began) == 3)


def test_what_a_caller_waits_for_goes_before_what_is_loaded_ahead(hanging: Hanging) -> None:
    loaders = Loaders(places=1, place_seconds=1e9)
    first = loaders.submit("acme", hanging.of("first"))
    later = [loaders.submit("acme", hanging.of(f"ahead {n}"), ahead=True) for n in range(3)]
    asked = [loaders.submit(tenant, hanging.of(tenant)) for tenant in ("acme", "rival")]
    hanging.go.set()
    for each in (first, *later, *asked):
        each.result(30)
    assert hanging.began[:3] == ["first", "acme", "rival"]


def test_loads_ahead_leave_places_to_callers(hanging: Hanging) -> None:
    loaders = Loaders(place_seconds=1e9)
    for tenant in range(2 * PLACES):
        loaders.submit(f"t{tenant}", hanging.of(f"{tenant}"), ahead=True)
    assert loaders.submit("rival", lambda: "served").result(30) == "served"
    until(lambda: len(hanging.began) == AHEAD_PLACES)


def test_tenants_that_wait_take_turns(hanging: Hanging) -> None:
    loaders = Loaders(places=1, place_seconds=1e9)
    asked: list[Future[str]] = [loaders.submit("acme", hanging.of(f"a{n}")) for n in range(3)]
    asked += [loaders.submit("rival", hanging.of(f"r{n}")) for n in range(2)]
    hanging.go.set()
    for each in asked:
        each.result(30)
    assert hanging.began == ["a0", "a1", "r0", "a2", "r1"]


def test_a_fault_is_told_and_costs_no_place() -> None:
    loaders = Loaders(places=1)

    def fails() -> None:
        raise OSError("the store")

    for _ in range(5):
        assert isinstance(loaders.submit("acme", fails).exception(30), OSError)


def test_what_waits_when_it_is_closed_hears_of_it(hanging: Hanging) -> None:
    loaders = Loaders(places=1)
    under_way = loaders.submit("acme", hanging.of("first"))
    waits = loaders.submit("acme", hanging.of("second"))
    loaders.close()
    late = loaders.submit("rival", hanging.of("third"))
    assert isinstance(waits.exception(30), EnginesDown)
    assert isinstance(late.exception(30), EnginesDown)
    hanging.go.set()
    assert under_way.result(30) == "first"
