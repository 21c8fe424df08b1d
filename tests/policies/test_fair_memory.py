"""What many share: one who asks for ever new things pushes out its own."""

from __future__ import annotations

import threading
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.engine import MAX_RECENT
from policies.fair_memory import SPARE, FairMemory
from tests.policies.world import APP, CONTEXT, ECG, OTHER, PERMIT_ALL, engine_with

Kept = tuple[str, str, int]


def remembers(memory: FairMemory[int], tenant: str, caller: str, count: int) -> None:
    for number in range(count):
        memory.keep(tenant, caller, (tenant, caller, number), number)


def left(memory: FairMemory[int], tenant: str, caller: str) -> int:
    return sum((tenant, caller, number) in memory.known for number in range(10_000))


def test_a_caller_who_fills_it_pushes_out_its_own() -> None:
    """One caller with thousands of purposes emptied it for all tenants."""
    memory: FairMemory[int] = FairMemory(400)
    remembers(memory, "clinic", "ward", 20)
    remembers(memory, "bank", "mate", 20)
    remembers(memory, "bank", "greedy", 10_000)
    assert left(memory, "clinic", "ward") == left(memory, "bank", "mate") == 20
    assert len(memory.known) <= 400
    assert ("bank", "greedy", 9_999) in memory.known
    assert ("bank", "greedy", 0) not in memory.known


def test_many_callers_of_one_tenant_push_out_no_other_tenants() -> None:
    memory: FairMemory[int] = FairMemory(400)
    remembers(memory, "clinic", "ward", 20)
    for number in range(5_000):
        memory.keep("bank", f"caller-{number}", ("bank", number), 0)
    assert left(memory, "clinic", "ward") == 20


def test_tenants_who_have_as_much_as_each_other_share_it() -> None:
    memory: FairMemory[int] = FairMemory(400)
    for number in range(5_000):
        memory.keep(f"tenant-{number}", "app", number, number)
        assert number in memory.known
    assert 400 - 400 // SPARE <= len(memory.known) <= 400


def test_a_value_takes_the_place_of_another_of_its_key() -> None:
    memory: FairMemory[int] = FairMemory(2)
    for value in range(9):
        memory.keep("clinic", "ward", "key", value)
    assert memory.known == {"key": 8}


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 30))),
)
def test_it_is_bounded_and_holds_what_came_last(most: int, kept: list[Kept]) -> None:
    memory: FairMemory[Kept] = FairMemory(most)
    for one in kept:
        memory.keep(one[0], one[1], one, one)
        assert memory.known[one] == one
        assert len(memory.known) <= most
    shares = memory._keys
    known = {key for callers in shares.values() for keys in callers.values() for key in keys}
    assert known == set(memory.known)
    assert all(keys for callers in shares.values() for keys in callers.values())


def test_threads_may_keep_at_once() -> None:
    memory: FairMemory[int] = FairMemory(50)
    threads = [
        threading.Thread(target=remembers, args=(memory, f"tenant-{number % 2}", str(number), 500))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < len(memory.known) <= 50


def test_decisions_of_late_outlive_a_caller_with_thousands_of_purposes() -> None:
    engine = engine_with(acme=PERMIT_ALL, other=PERMIT_ALL)
    theirs = replace(ECG, tenant=OTHER)
    neighbour = replace(APP, id="neighbour", tenant=OTHER)
    assert engine.decide(neighbour, "infer", theirs, CONTEXT).allowed
    contexts = [replace(CONTEXT, purpose=f"purpose-{n}") for n in range(2 * MAX_RECENT)]
    for context in contexts:
        engine.decide(APP, "infer", ECG, context)
    recalled = engine._recalled
    assert engine.decide(neighbour, "infer", theirs, CONTEXT).allowed
    assert engine._recalled == recalled + 1
