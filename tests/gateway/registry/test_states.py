from __future__ import annotations

import itertools

import pytest

from gateway.registry.errors import IllegalMove
from gateway.registry.records import ModelVersion
from gateway.registry.states import DELIVERABLE, MOVES, SERVABLE, moved


def _version(state: str) -> ModelVersion:
    return ModelVersion("t", "m", "1", state, created=0, created_by="c")  # type: ignore[arg-type]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(MOVES, MOVES)))
def test_only_the_moves_of_the_table_are_made(before: str, after: str) -> None:
    if after in MOVES[before]:  # type: ignore[index]
        assert moved(_version(before), after).state == after  # type: ignore[arg-type]
    else:
        with pytest.raises(IllegalMove):
            moved(_version(before), after)  # type: ignore[arg-type]


def test_nothing_serves_that_was_never_a_candidate() -> None:
    reached_from = {state: {b for b, to in MOVES.items() if state in to} for state in MOVES}
    assert reached_from["released"] == {"candidate"}
    assert reached_from["candidate"] == {"quarantined"}


def test_what_ended_stays_ended() -> None:
    assert MOVES["retired"] == MOVES["rejected"] == frozenset()
    assert not {"retired", "rejected", "quarantined"} & (SERVABLE | DELIVERABLE)
