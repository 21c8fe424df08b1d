from __future__ import annotations

import os

import pytest

from gateway.artifacts.admission import REASONS, AdmissionReport, admit
from gateway.artifacts.errors import ModelRefused
from gateway.artifacts.manifest import TensorSpec
from tests.gateway.artifacts.hostile_models import (
    branches,
    constant_bomb,
    endless_loop,
    expand_bomb,
    external_initializer,
    function_bomb,
    linear,
    words,
)

pytestmark = pytest.mark.e2e


def refusal(data: bytes, run_seconds: float = 10.0) -> ModelRefused:
    with pytest.raises(ModelRefused) as caught:
        admit(data, run_seconds=run_seconds)
    return caught.value


def test_a_good_model_is_described() -> None:
    report = admit(linear().SerializeToString())
    assert report == AdmissionReport(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 3)),),
        outputs=(
            TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),
            TensorSpec(name="label", datatype="INT64", shape=(-1,)),
        ),
        opset={"": 18},
        node_count=2,
    )
    assert report.dynamic_batch


def test_strings_and_fixed_dimensions() -> None:
    report = admit(memoryview(words().SerializeToString()))
    assert report.inputs == (TensorSpec(name="x", datatype="BYTES", shape=(4, -1)),)
    assert not report.dynamic_batch


def test_an_undeclared_output_shape_is_seen_in_the_trial_run() -> None:
    model = branches()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert admit(model.SerializeToString()).outputs[0].shape == (-1, -1)


def test_an_endless_loop_is_stopped() -> None:
    assert refusal(endless_loop().SerializeToString(), run_seconds=1.0).reason == "time"


def test_memory_bombs_are_refused() -> None:
    assert refusal(expand_bomb().SerializeToString()).reason == "memory"
    assert refusal(constant_bomb().SerializeToString()).reason == "memory"


def test_the_static_pass_comes_first() -> None:
    assert refusal(function_bomb().SerializeToString()).reason == "functions"
    assert refusal(external_initializer().SerializeToString()).reason == "external_data"
    assert refusal(os.urandom(1000)).reason == "malformed"


def test_a_model_that_the_runtime_does_not_take_is_refused() -> None:
    model = linear()
    model.graph.node[0].input[1] = "nowhere"
    assert refusal(model.SerializeToString()).reason == "not_loadable"


def test_a_model_that_lies_about_its_outputs_is_refused() -> None:
    model = linear()
    model.graph.node[0].op_type = "Mod"  # the shapes do not broadcast
    assert refusal(model.SerializeToString()).reason in {"not_loadable", "not_runnable"}


def test_a_refusal_explains_and_repeats_nothing_of_the_model() -> None:
    model = linear()
    model.graph.node[0].domain = "secret.corp"
    error = refusal(model.SerializeToString())
    assert error.reason == "domain"
    assert REASONS["domain"] in str(error)
    assert "secret" not in str(error)
