from __future__ import annotations

import contextlib

import onnxruntime.capi.onnxruntime_pybind11_state as runtime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper

from gateway.artifacts.admission import REASONS
from gateway.artifacts.contrib_operators import FUSED_STANDARD, MICROSOFT
from gateway.artifacts.model_refusals import Refusal
from gateway.artifacts.onnx_border import border_inputs, border_outputs, takes_missing
from gateway.artifacts.onnx_inspection import inspect, parse
from tests.gateway.artifacts import hostile_models
from tests.gateway.artifacts.hostile_models import HOSTILE, branches, linear, nested, words


def examine(data: bytes) -> int:
    model = parse(data)
    count = inspect(model).nodes
    border_inputs(model)
    border_outputs(model)
    takes_missing(model)
    return count


@pytest.mark.parametrize(("name", "reason"), [(name, HOSTILE[name][1]) for name in HOSTILE])
def test_a_hostile_model_is_refused_for_its_reason(name: str, reason: str) -> None:
    made = HOSTILE[name][0]()
    data = made if isinstance(made, bytes) else made.SerializeToString()
    with pytest.raises(Refusal) as caught:
        examine(data)
    assert caught.value.reason == reason
    assert reason in REASONS


def test_good_models_pass() -> None:
    for model, nodes in ((linear(), 2), (words(), 1), (branches(), 3), (nested(4), 2**6 - 1)):
        assert examine(model.SerializeToString()) == nodes


def test_the_opset_is_reported_by_domain_that_is_used() -> None:
    model = linear()
    model.opset_import.append(helper.make_opsetid("ai.onnx.training", 1))
    assert inspect(model).opset == {"": hostile_models.OPSET}


LINEAR = linear().SerializeToString()


@given(st.binary(max_size=300))
def test_any_bytes_end_as_a_refusal(data: bytes) -> None:
    with contextlib.suppress(Refusal):
        examine(data)


@settings(max_examples=500)
@example(162, b"\x80")  # a name that is not UTF-8 comes as bytes
@given(st.integers(0, len(LINEAR) - 1), st.binary(min_size=1, max_size=4))
def test_any_spoiled_model_passes_or_is_refused(position: int, noise: bytes) -> None:
    spoiled = LINEAR[:position] + noise + LINEAR[position + len(noise) :]
    with contextlib.suppress(Refusal):
        examine(spoiled)


def test_listed_operators_are_the_runtime_s_and_read_no_file() -> None:
    known = {(schema.domain, schema.name) for schema in runtime.get_all_operator_schema()}
    assert {("com.microsoft", name) for name in MICROSOFT} <= known
    assert {("", name) for name in FUSED_STANDARD} <= known
    unread = {"EPContext", "Snpe", "Tokenizer", "BeamSearch", "GreedySearch", "Sampling"}
    assert not unread & MICROSOFT
