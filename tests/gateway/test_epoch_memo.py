from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.epoch_memo import UNKNOWN, EpochMemo


def test_what_was_read_under_an_epoch_is_remembered_under_it_only() -> None:
    epoch, reads = [1], []

    def read() -> str:
        reads.append(epoch[0])
        return f"as of {epoch[0]}"

    memo: EpochMemo[str, str] = EpochMemo(lambda: epoch[0])
    assert [memo.look_up("a", read) for _ in range(3)] == ["as of 1"] * 3
    epoch[0] = 2
    assert memo.now().get("a") is UNKNOWN
    assert memo.look_up("a", read) == "as of 2"
    assert reads == [1, 2]


def test_what_was_read_while_the_epoch_moved_is_not_kept() -> None:
    epoch = [1]
    memo: EpochMemo[str, str] = EpochMemo(lambda: epoch[0])

    def read() -> str:
        epoch[0] = 2
        memo.now()  # somebody else asks under the new epoch before this read ends
        return "old"

    assert memo.look_up("a", read) == "old"
    assert memo.now().get("a") is UNKNOWN


def test_absence_is_remembered_and_falls_with_the_epoch() -> None:
    epoch, reads = [1], []

    def read() -> None:
        reads.append(1)

    memo: EpochMemo[str, str] = EpochMemo(lambda: epoch[0])
    assert [memo.look_up("a", read) for _ in range(3)] == [None] * 3
    assert len(reads) == 1
    epoch[0] = 2
    memo.look_up("a", read)
    assert len(reads) == 2


def test_asking_for_what_does_not_exist_pushes_out_nothing_that_does() -> None:
    memo: EpochMemo[str, str] = EpochMemo(lambda: 1, capacity=10)
    memory = memo.now()
    memory.keep("here", "yes")
    for number in range(1000):
        memory.keep(f"absent-{number}", None)
    assert memory.get("here") == "yes"
    assert memory.get("absent-999") is None
    assert memory.get("absent-0") is UNKNOWN


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([None, "v"])), max_size=200))
def test_both_rooms_are_bounded_and_the_newest_stays(kept: list[tuple[int, str | None]]) -> None:
    memory = EpochMemo[int, str](lambda: 1, capacity=5).now()
    for key, value in kept:
        memory.keep(key, value)
    known = [key for key in range(31) if memory.get(key) is not UNKNOWN]
    assert len(known) <= 10
    if kept and kept[-1][1] is not None:
        assert memory.get(kept[-1][0]) == "v"
