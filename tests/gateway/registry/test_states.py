from __future__ import annotations

import itertools
from dataclasses import replace
from typing import get_args

import pytest

from gateway.registry.errors import IllegalMove
from gateway.registry.records import ModelVersion, VersionState
from gateway.registry.states import MOVES, PROMOTABLE, PUBLISHED, USES, Use, is_taken, moved
from tests.policies.world import ANN, CONTEXT, ECG, PERMIT_ALL, engine_with

ACTIONS: dict[Use, tuple[str, ...]] = {
    "call": ("infer", "releaseOutput"),
    "deliver": ("downloadArtifact",),
    "promote": ("promote", "rollback"),
}
"""What a version may be used for → the decisions that stand before it."""


def _version(state: str) -> ModelVersion:
    return ModelVersion("t", "m", "1", state, created=0, created_by="c")  # type: ignore[arg-type]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(MOVES, MOVES)))
def test_only_the_moves_of_the_table_are_made(before: str, after: str) -> None:
    if after in MOVES[before]:  # type: ignore[index]
        assert moved(_version(before), after).state == after
    else:
        with pytest.raises(IllegalMove):
            moved(_version(before), after)  # type: ignore[arg-type]


def test_nothing_is_released_that_was_never_a_candidate() -> None:
    reached_from = {state: {b for b, to in MOVES.items() if state in to} for state in MOVES}
    assert reached_from["released"] == {"candidate"}
    assert reached_from["candidate"] == {"quarantined"}
    assert reached_from["quarantined"] == {"rejected"}, "a refused push does not use up its name"


def test_what_ended_stays_ended() -> None:
    assert MOVES["retired"] == frozenset()
    assert MOVES["rejected"] == {"quarantined"}, "it begins anew, and serves no sooner"
    assert USES["retired"] == USES["rejected"] == USES["quarantined"] == frozenset()


def test_a_name_is_used_up_by_all_but_what_was_refused() -> None:
    assert not is_taken(None)
    assert {state for state in MOVES if not is_taken(_version(state))} == {"rejected"}


def test_the_tables_tell_of_every_state_and_of_no_other() -> None:
    assert set(MOVES) == set(USES) == set(get_args(VersionState))
    assert set[Use]().union(*USES.values()) == set(get_args(Use)) == set(ACTIONS)


def test_only_what_can_be_promoted_becomes_released() -> None:
    assert {state for state, to in MOVES.items() if "released" in to} <= PROMOTABLE


def test_what_came_out_of_quarantine_and_was_not_rejected_is_published() -> None:
    assert set(USES) - {"quarantined", "rejected"} == PUBLISHED


@pytest.mark.parametrize("state", USES)
def test_the_platform_s_policies_allow_what_the_table_allows(state: VersionState) -> None:
    engine, version = engine_with(acme=PERMIT_ALL), replace(ECG, stage=state)
    for use, actions in ACTIONS.items():
        for action in actions:
            allowed = engine.decide(ANN, action, version, CONTEXT).allowed
            assert allowed == (use in USES[state]), (state, action)
