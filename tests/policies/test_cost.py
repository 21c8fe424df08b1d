"""What a set may cost is measured on what it expands to, not on its length."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiled import parsed, platform_set, prepare, starter_text
from policies.cost import PUBLISHED, STORED, cost_of, expansion_of_path, too_costly
from policies.errors import PolicySetInvalid
from policies.trying import SLOWEST_SECONDS, questions, slowest, too_slow
from tests.policies.forty_sets import SLOW, STARTER, chain, many, permit
from tests.policies.world import NOW


def values(document: Any) -> int:
    if isinstance(document, dict):
        return 1 + sum(map(values, document.values()))
    return 1 + sum(map(values, document)) if isinstance(document, list) else 1


@given(st.integers(1, 40))
def test_a_path_after_has_is_estimated_as_it_is_written_out(names: int) -> None:
    expanded = values(json.loads(cedarpy.policies_to_json_str(permit(chain(names)))))
    assert abs(expansion_of_path(names) - expanded) < 60 + expanded // 10


def test_two_kilobytes_that_stand_for_a_hundred_thousand_parts_are_refused_unparsed() -> None:
    with pytest.raises(PolicySetInvalid) as refused:
        prepare(SLOW["a chain of 250 names after has"])
    (problem,) = refused.value.problems
    assert problem.policy == "policy14"
    assert "more than 4000" in problem.reason
    assert "ask for the last one you need" in problem.reason


@pytest.mark.parametrize(
    ("text", "policy", "measure"),
    [
        (permit(chain(60), "deep"), "deep", "expands to"),
        (many(180, chain(12)), "", "the largest is"),
        (permit('context.region like "' + "*a" * 300 + '"', "stars"), "stars", "patterns"),
        (permit("[" + ", ".join(["1"] * 257) + "].contains(1)", "wide"), "wide", "members"),
    ],
)
def test_a_refusal_names_policy_measure_and_bound(text: str, policy: str, measure: str) -> None:
    (problem,) = too_costly(parsed(text), PUBLISHED)
    assert problem.policy == policy
    assert measure in problem.reason
    assert "more than" in problem.reason


def test_the_starter_set_costs_a_fortieth_of_what_may_be() -> None:
    assert sum(cost_of(one).parts for one in parsed(starter_text()).values()) * 35 < PUBLISHED.parts


def test_what_is_in_force_already_has_laxer_bounds() -> None:
    text = STARTER + many(150, chain(16))
    with pytest.raises(PolicySetInvalid):
        prepare(text, PUBLISHED)
    assert prepare(text, STORED).parts > PUBLISHED.parts


def _timed(steps: list[float]) -> Any:
    """A timer under which the n-th question takes `steps[n]` each time."""
    at, calls = [0.0], count()

    def timer() -> float:
        number = next(calls)
        if number % 2:
            at[0] += steps[min(number // 2, len(steps) - 1)]
        return at[0]

    return timer


def _slowest(steps: list[float]) -> float:
    handle = platform_set().handle
    found = slowest(handle, handle, parsed(STARTER), ["infer"], now=NOW, timer=_timed(steps))
    assert bool(too_slow(found, "x")) == (found.seconds > SLOWEST_SECONDS)
    return found.seconds


def test_a_decision_that_was_slow_once_is_not_a_slow_set() -> None:
    assert _slowest([0.1, 0.001]) <= SLOWEST_SECONDS


def test_a_decision_that_is_slow_each_time_refuses_its_set() -> None:
    assert _slowest([0.1, 0.1, 0.1, 0.1, 0.001]) > SLOWEST_SECONDS


def test_the_same_set_is_tried_with_the_same_requests() -> None:
    policies = parsed(STARTER)
    first, again = (list(questions(policies, ["infer", "reviewAudit"])) for _ in range(2))
    assert first == again
    assert any("officer" in question[0].roles for question in first)
