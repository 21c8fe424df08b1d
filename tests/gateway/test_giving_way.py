"""Who gives way where there is no more room, and that nobody is looked through for it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.giving_way import Crowds, Silent

STEPS = st.lists(st.tuples(st.sampled_from(["add", "drop"]), st.integers(0, 9)), max_size=60)


@given(STEPS)
def test_the_longest_silent_is_the_one_noted_first_of_those_that_are_left(
    steps: list[tuple[str, int]],
) -> None:
    silent: Silent[int] = Silent()
    order: list[int] = []
    for step, key in steps:
        if key in order:
            order.remove(key)
        if step == "add":
            order.append(key)
            silent.note(key)
        else:
            silent.drop(key)
        assert silent.longest() == (order[0] if order else None)
        others = [each for each in order if each != key]
        assert silent.longest(besides=key) == (others[0] if others else None)


@given(STEPS)
def test_the_oldest_of_the_largest_group_gives_way(steps: list[tuple[str, int]]) -> None:
    crowds: Crowds[int] = Crowds()
    order: dict[int, str] = {}
    for number, (step, digit) in enumerate(steps):
        if step == "add":
            order[number] = str(digit % 3)
            crowds.add(number, order[number])
        elif order:
            gone = list(order)[digit % len(order)]
            del order[gone]
            crowds.drop(gone)
        crowds.drop(-1)
        assert crowds.keys() == list(order)
        if order:
            sizes = Counter(order.values())
            found = crowds.oldest_of_largest()
            assert sizes[order[found]] == max(sizes.values())
            assert found == next(key for key in order if order[key] == order[found])


class Looked:
    """A key that counts how often it is compared."""

    looks = 0

    def __eq__(self, other: object) -> bool:
        Looked.looks += 1
        return self is other

    def __hash__(self) -> int:
        return id(self)


def test_a_newcomer_at_a_full_door_costs_the_same_however_many_are_there() -> None:
    """All connections were looked at for each: a millisecond at 4,096."""
    silent: Silent[Looked] = Silent()
    for _ in range(4096):
        silent.note(Looked())
    Looked.looks = 0
    for _ in range(4096):
        newcomer = Looked()
        silent.note(newcomer)
        least = silent.longest(besides=newcomer)
        assert least is not None
        silent.drop(least)
    assert Looked.looks <= 3 * 4096
