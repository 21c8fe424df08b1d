from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import pytest

from gateway.artifacts.admission import REASONS, AdmissionReport, admit
from gateway.artifacts.errors import ModelRefused
from gateway.artifacts.manifest import TensorSpec, Trial
from gateway.artifacts.sandbox import SandboxResult
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
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 3), symbols=("n", "")),),
        outputs=(
            TensorSpec(name="y", datatype="FP32", shape=(-1, 2), symbols=("n", "")),
            TensorSpec(name="label", datatype="INT64", shape=(-1,), symbols=("n",)),
        ),
        opset={"": 18},
        node_count=2,
        trial=Trial(shapes={"x": (1, 3)}, values="zeros"),
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


def test_a_refusal_names_the_part_and_the_remedy() -> None:
    model = linear()
    model.graph.node[0].name, model.graph.node[0].domain = "head", "our.corp"
    error = refusal(model.SerializeToString())
    assert error.reason == "domain"
    assert "node `head` (MatMul)" in str(error)
    assert error.remedy == REASONS["domain"].remedy


def test_a_sample_goes_into_the_sandbox_with_the_model() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.ones((5, 3), np.float32))
    report = admit(linear().SerializeToString(), sample=buffer.getvalue())
    assert report.trial.shapes == {"x": (5, 3)}


@pytest.mark.parametrize(
    "report",
    [
        {"refused": "no reason of ours"},
        {"refused": "domain", "part": 7, "found": ["x"]},
        {"refused": "domain", "part": "\x1b[31m", "found": "x" * 10_000},
        {"inputs": "nonsense"},
    ],
)
def test_a_report_is_read_as_if_the_model_had_written_it(report: dict[str, Any]) -> None:
    def lying(*_: object, **__: object) -> SandboxResult:
        return SandboxResult(report, {}, network_isolated=True, user_dropped=True)

    with pytest.raises(ModelRefused) as caught:
        admit(b"", run=lying)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_every_refusal_says_what_to_do() -> None:
    assert [name for name, reason in REASONS.items() if not reason.remedy] == []
