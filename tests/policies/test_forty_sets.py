"""Policy sets that are slow, huge, contradictory or self-locking do not come into force."""

from __future__ import annotations

import pytest

from policies.errors import PolicySetInvalid
from policies.examination import examine
from policies.standing import Candidate, Standing
from tests.policies import forty_sets
from tests.policies.world import ACME

NOW = 1_700_000_000


def candidate(name: str, role: str, scope: str) -> Candidate:
    return Candidate(
        name, "service", frozenset({role}), frozenset({scope}), frozenset({"care"}), binding="none"
    )


STANDING = Standing(
    tenant=ACME,
    candidates=(
        candidate("owner", "owner", "policies"),
        candidate("officer", "officer", "audit"),
        candidate("caller", "caller", "infer"),
    ),
    region="eu",
    epoch=7,
    solo=True,
    now=NOW,
)


def test_there_are_forty() -> None:
    assert len(forty_sets.REFUSED) >= 40


@pytest.mark.parametrize("text", forty_sets.REFUSED.values(), ids=forty_sets.REFUSED.keys())
def test_a_set_that_would_harm_does_not_come_into_force(text: str) -> None:
    with pytest.raises(PolicySetInvalid) as refused:
        examine(text, NOW, STANDING, forty_sets.STARTER)
    assert all(problem.reason for problem in refused.value.problems)


@pytest.mark.parametrize("text", forty_sets.FINE.values(), ids=forty_sets.FINE.keys())
def test_a_set_that_only_looks_odd_does(text: str) -> None:
    assert examine(text, NOW, STANDING, forty_sets.STARTER).parts


@pytest.mark.parametrize("name", forty_sets.SELF_LOCKING)
def test_who_would_be_locked_out_hears_which_action_is_lost(name: str) -> None:
    with pytest.raises(PolicySetInvalid) as refused:
        examine(forty_sets.SELF_LOCKING[name], NOW, STANDING, forty_sets.STARTER)
    said = " ".join(problem.reason for problem in refused.value.problems)
    assert "managePolicy" in said or "reviewAudit" in said
    assert "sealgate policy show" in said
