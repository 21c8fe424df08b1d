from __future__ import annotations

import base64
import contextlib
import io
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import PlanInvalid
from federated.plan import Plan, initial_parameters, parse_plan
from tests.federated.examples import plan, plan_fields


def npz(**arrays: Any) -> str:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return base64.b64encode(packed.getvalue()).decode()


def test_plan_survives_the_way_to_the_server_app() -> None:
    first = plan(initial=npz(parameters=np.ones(3)))
    assert parse_plan(msgspec.json.encode(first)) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "../other"},
        {"tenant": "North"},
        {"run_id": "a/b"},
        {"sites": []},
        {"sites": [{"name": "a", "node_id": "1"}, {"name": "a", "node_id": "2"}]},
        {"sites": [{"name": "a", "node_id": "1"}, {"name": "b", "node_id": "1"}]},
        {"quorum": 4},
        {"quorum": 0},
        {"rounds": 0},
        {"rounds": 10**9},
        {"deadline_s": 0},
        {"deadline_s": -1},
        {"deadline_s": 1e300},
        {"task": "anything"},
        {"config": {}},
        {"config": {"features": 2, "learning_rate": -1}},
        {"config": {"features": 2, "unknown": 1}},
        {"config": {"features": 3, "standardisation": {"mean": [0, 0], "scale": [1, 1]}}},
        {"config": {"features": 2, "standardisation": {"mean": [0, 0], "scale": [1, 0]}}},
        {"config": {"features": 2, "standardisation": "none"}},
        {"initial": "%%%"},
        {"initial": npz(parameters=np.ones(2))},
        {"initial": npz(parameters=np.array([1.0, np.nan, 0.0]))},
        {"initial": npz(other=np.ones(3))},
        {"extra": 1},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanInvalid):
        plan(**changes)


def test_initial_parameters() -> None:
    np.testing.assert_array_equal(initial_parameters(plan()), np.zeros(3))
    given_ones = plan(initial=npz(parameters=np.ones(3)))
    np.testing.assert_array_equal(initial_parameters(given_ones), np.ones(3))


def test_pickles_are_not_opened() -> None:
    with pytest.raises(PlanInvalid):
        plan(initial=npz(parameters=np.array([object()] * 3, dtype=object)))


def test_message_does_not_repeat_the_caller() -> None:
    with pytest.raises(PlanInvalid) as refusal:
        plan(tenant="Secret Name")
    assert "Secret" not in str(refusal.value)


@given(st.binary(max_size=200))
def test_bytes_end_as_a_plan_or_our_error(data: bytes) -> None:
    with contextlib.suppress(PlanInvalid):
        assert isinstance(parse_plan(data), Plan)


@given(st.binary(max_size=400))
def test_initial_bytes_end_as_our_error(data: bytes) -> None:
    with pytest.raises(PlanInvalid):
        plan(initial=base64.b64encode(data).decode())


@given(
    st.dictionaries(
        st.sampled_from(sorted(plan_fields())),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_odd_fields_end_as_a_plan_or_our_error(changes: dict[str, Any]) -> None:
    try:
        data = msgspec.json.encode(plan_fields(**changes))
        assert isinstance(parse_plan(data), Plan)
    except PlanInvalid:
        pass
