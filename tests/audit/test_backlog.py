from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit.backlog import Backlog, Limits

SMALL = Limits(
    queue_events=10,
    queue_bytes=1_000,
    tenant_events=6,
    reserved_events=2,
    batch_events=6,
    batch_bytes=1_000,
    batch_trees=3,
)


def fill(backlog: Backlog[int], tenant: str, count: int, size: int = 1) -> int:
    return sum(backlog.add(tenant, number, size) for number in range(count))


def test_a_tenant_fills_its_share_only() -> None:
    assert fill(Backlog(SMALL), "acme", 20) == 6


def test_a_full_queue_still_has_reserved_places() -> None:
    backlog: Backlog[int] = Backlog(SMALL)
    fill(backlog, "acme", 20)
    fill(backlog, "globex", 20)
    assert len(backlog) == 10
    assert fill(backlog, "initech", 20) == 2


def test_bytes_are_bounded_too() -> None:
    backlog: Backlog[int] = Backlog(SMALL)
    assert fill(backlog, "acme", 6, size=400) == 2
    assert fill(backlog, "globex", 6, size=400) == 2


def test_a_batch_takes_from_all_in_turn() -> None:
    backlog: Backlog[int] = Backlog(SMALL)
    fill(backlog, "acme", 6)
    fill(backlog, "globex", 2)
    batch = backlog.take()
    assert batch == {"acme": [0, 1, 2, 3], "globex": [0, 1]}
    assert backlog.take() == {"acme": [4, 5]}
    assert backlog.take() == {}
    assert len(backlog) == 0


def test_a_batch_touches_a_bounded_number_of_trees_and_turns_to_the_others_next() -> None:
    backlog: Backlog[int] = Backlog(SMALL)
    for tenant in "abcd":
        fill(backlog, tenant, 2)
    assert set(backlog.take()) == {"a", "b", "c"}
    assert set(backlog.take()) == {"d"}


def test_a_batch_is_bounded_in_bytes_but_never_empty() -> None:
    backlog: Backlog[int] = Backlog(SMALL)
    backlog.add("acme", 0, 5_000)
    backlog.add("acme", 1, 5)
    assert backlog.take() == {"acme": [0]}
    assert backlog.take() == {"acme": [1]}


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 400)), max_size=60))
def test_whatever_was_admitted_comes_out_once_and_in_order(items: list[tuple[str, int]]) -> None:
    backlog: Backlog[int] = Backlog(SMALL)
    admitted: dict[str, list[int]] = {}
    for number, (tenant, size) in enumerate(items):
        if backlog.add(tenant, number, size):
            admitted.setdefault(tenant, []).append(number)
    out: dict[str, list[int]] = {}
    while batch := backlog.take():
        assert sum(map(len, batch.values())) <= SMALL.batch_events
        assert len(batch) <= SMALL.batch_trees
        for tenant, taken in batch.items():
            out.setdefault(tenant, []).extend(taken)
    assert out == admitted
    assert len(backlog) == 0
