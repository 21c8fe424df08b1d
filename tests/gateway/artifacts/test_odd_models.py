"""What real tools write is admitted; what is refused is named, with what to do about it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gateway.artifacts import admission_job
from gateway.artifacts.admission import AdmissionReport
from gateway.artifacts.manifest import RANK_LIMIT, TensorSpec
from gateway.artifacts.model_refusals import REASONS, sentence
from gateway.artifacts.trial import GUESSED_LIMIT, grown, make_values
from gateway.artifacts.trial_search import Found, _larger
from gateway.inference.tensors import MAX_RANK
from tests.gateway.artifacts import odd_models as odd
from tests.gateway.artifacts.hostile_models import build, node

SECONDS = {"run_seconds": 5.0, "search_seconds": 20.0}


def npz(**arrays: Any) -> memoryview:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return memoryview(buffer.getvalue())


def examined(model: onnx.ModelProto, **inputs: memoryview) -> dict[str, Any]:
    data = memoryview(model.SerializeToString())
    return admission_job.main({"model": data, **inputs}, SECONDS)[0]


def admitted(model: onnx.ModelProto, **inputs: memoryview) -> AdmissionReport:
    found = examined(model, **inputs)
    assert "refused" not in found, found
    return msgspec.convert(found, AdmissionReport)


def refusal(model: onnx.ModelProto, **inputs: memoryview) -> tuple[str, str]:
    """The reason, and what the owner is told."""
    found = examined(model, **inputs)
    reason = str(found["refused"])
    return reason, sentence(reason, found["part"], found["found"]) + "; " + REASONS[reason].remedy


@pytest.mark.parametrize(
    "make",
    [
        lambda: odd.imports(("", 17), ("", 17)),
        lambda: odd.imports(("", 17), ("ai.onnx", 17)),
        lambda: odd.imports(("", 17), ("com.microsoft", 1), ("ai.onnx.training", 1)),
        lambda: odd.imports(("", 7)),
        lambda: odd.imports(("", 9)),
        lambda: odd.imports(("", 26)),
        odd.bfloat16,
        odd.strings,
        odd.boosted,
        odd.optimised,
        odd.masked_attention,
        odd.needs_a_step,
    ],
)
def test_what_the_runtime_runs_is_admitted(make: Callable[[], onnx.ModelProto]) -> None:
    admitted(make())


def test_two_versions_of_a_domain_are_told() -> None:
    reason, told = refusal(odd.imports(("", 17), ("", 13)))
    assert reason == "opset"
    assert "13 and 17" in told


def test_a_version_that_the_runtime_does_not_know_yet_is_told() -> None:
    newest = onnx.defs.onnx_opset_version()
    if newest == 26:
        pytest.skip("the runtime knows all that onnx does")
    reason, told = refusal(odd.imports(("", newest)))
    assert reason == "opset"
    assert "convert_version" in told


def test_sizes_that_are_no_sizes_are_open() -> None:
    assert admitted(odd.with_size(-1)).inputs[0].shape == (-1, 3)
    assert admitted(odd.shapeless()).inputs[0].shape == (-1, -1)


def test_sizes_and_values_are_tried_until_something_runs() -> None:
    assert admitted(odd.needs_576_samples()).trial.shapes == {"x": (1, 576)}
    assert admitted(odd.multiple_of_32()).trial.shapes == {"x": (1, 3, 32, 32)}
    assert admitted(odd.needs_a_step()).trial.values == "ones"


def test_dimensions_of_one_symbol_have_one_size_and_sums_are_sums() -> None:
    shapes = admitted(odd.masked_attention()).trial.shapes
    assert shapes["mask"][1] == shapes["tokens"][1] + shapes["past"][1]


def test_symbols_of_first_dimensions_are_kept() -> None:
    nodes, edges = admitted(odd.graph_network()).inputs
    assert (nodes.symbols, edges.symbols) == (("n", ""), ("m",))
    assert not admitted(odd.graph_network()).dynamic_batch
    assert admitted(odd.two_inputs()).dynamic_batch


def test_first_dimensions_without_names_are_tied_unless_a_run_shows_otherwise() -> None:
    nodes, edges = admitted(odd.graph_network(named=False)).inputs
    assert nodes.symbols[0] != edges.symbols[0]
    a, b = admitted(odd.two_inputs(named=False)).inputs
    assert a.symbols == b.symbols == ()


def test_a_sample_unties_what_the_exporter_tied() -> None:
    model = odd.graph_network()
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "n"
    sample = npz(nodes=np.zeros((4, 8), np.float32), edges=np.zeros(9, np.int64))
    nodes, edges = admitted(model, sample=sample).inputs
    assert nodes.symbols[0] != edges.symbols[0]


def test_inputs_with_defaults_may_be_left_out() -> None:
    x, k = admitted(odd.with_default()).inputs
    assert (x.optional, k.optional) == (False, True)
    assert k.name == "k"


@pytest.mark.parametrize(("count", "ir_version"), [(17, 9), (3, 3)])
def test_weights_that_an_exporter_lists_are_no_inputs(count: int, ir_version: int) -> None:
    model = odd.with_listed_weights(count, ir_version=ir_version)
    assert [spec.name for spec in admitted(model).inputs] == ["x"]


def test_a_rank_that_no_request_carries_is_refused_at_push() -> None:
    assert RANK_LIMIT == MAX_RANK
    admitted(odd.of_rank(RANK_LIMIT))
    reason, told = refusal(odd.of_rank(RANK_LIMIT + 1))
    assert reason == "border_rank"
    assert "input `x`" in told
    assert "9 dimensions" in told


def test_maps_and_sequences_are_refused_with_what_to_write() -> None:
    reason, told = refusal(odd.zip_map())
    assert reason == "border_map"
    assert "output `probabilities`" in told
    assert "options={'zipmap': False}" in told


def test_an_operator_that_was_not_read_is_refused_by_its_node() -> None:
    model = odd.optimised("Tokenizer")
    model.graph.node[0].name = "words"
    reason, told = refusal(model)
    assert reason == "operator"
    assert "node `words` (Tokenizer)" in told


def test_trees_that_take_missing_values_say_so() -> None:
    assert admitted(odd.boosted()).takes_missing == ("x",)
    assert admitted(odd.boosted(missing=False)).takes_missing == ()


def test_an_output_of_another_size_than_declared_is_corrected() -> None:
    assert admitted(odd.wrong_output_size()).outputs[0].shape == (-1, -1)


def test_a_label_that_is_declared_for_one_row_follows_the_rows() -> None:
    """Metadata said `[1]` whatever was asked, and requests for such a model never shared a run."""
    report = admitted(odd.label_of_one_row())
    label, scores = report.outputs
    assert (label.shape, scores.shape) == ((-1,), (-1, 3))
    assert report.dynamic_batch


def test_a_size_that_follows_another_open_dimension_is_open() -> None:
    assert admitted(odd.frames_of_the_example()).outputs[0].shape == (2, -1)


def test_the_owners_sample_is_made_longer_too() -> None:
    """A sample is the only input that some models run on."""
    model = odd.label_of_one_row()
    sample = npz(x=np.ones((1, 3), np.float32))
    assert admitted(model, sample=sample).outputs[0].shape == (-1,)
    found = Found((), {"x": (2, 3)}, "sample", [], {"x": np.arange(6).reshape(2, 3)})
    assert _larger(found, {"x": (4, 3)})["x"].tolist() == [[0, 1, 2], [3, 4, 5]] * 2
    empty = replace(found, sample={"x": np.ones((0, 3))})
    assert _larger(empty, {"x": (1, 3)})["x"].tolist() == [[0, 0, 0]]


def test_what_runs_on_one_row_alone_is_admitted_as_it_is_declared() -> None:
    assert admitted(odd.of_one_row_alone()).outputs[0].shape == (1, 3)


def test_a_rank_that_follows_the_rows_leaves_every_size_open() -> None:
    assert admitted(odd.squeezed()).outputs[0].shape == (-1,)


def test_each_open_dimension_is_made_larger_by_itself() -> None:
    tokens = TensorSpec(name="t", datatype="INT64", shape=(1, -1), symbols=("", "s"))
    mask = TensorSpec(name="m", datatype="INT64", shape=(-1, -1), symbols=("n", "past + s"))
    found = list(grown((tokens, mask), {"t": (1, 4), "m": (3, 10)}))
    assert found == [
        [{"t": (1, 8), "m": (3, 14)}, {"t": (1, 5), "m": (3, 11)}],
        [{"t": (1, 4), "m": (6, 10)}, {"t": (1, 4), "m": (4, 10)}],
        [{"t": (1, 4), "m": (3, 11)}],
    ]


def test_a_dimension_that_would_be_too_large_is_left_as_it_is() -> None:
    image = TensorSpec(name="x", datatype="FP32", shape=(-1, GUESSED_LIMIT))
    assert list(grown((image,), {"x": (1, GUESSED_LIMIT)})) == [[]]


def test_what_runs_on_nothing_names_its_node_and_the_remedy() -> None:
    reason, told = refusal(odd.never_runs())
    assert reason == "not_runnable"
    assert "node `/head/Reshape_3` (Reshape)" in told
    assert "npz" in told
    assert "onnxruntime/core" not in told


def test_it_runs_on_the_sample_that_the_owner_sent() -> None:
    model = odd.needs_576_samples()
    report = admitted(model, sample=npz(x=np.ones((3, 600))))
    assert report.trial.shapes == {"x": (3, 600)}
    assert report.trial.values == "zeros", "anyone can make these again"


@pytest.mark.parametrize(
    ("sample", "wrong"),
    [
        (memoryview(b"no archive"), "no npz"),
        (npz(x=np.zeros((1, 576)), z=np.zeros(1)), "array `z`"),
        (npz(), "input `x`: it is missing"),
        (npz(x=np.zeros((1, 2, 3))), "1 x 2 x 3"),
        (npz(x=np.array([["a"]])), "not FP32"),
        (npz(x=np.array([[None]])), "no npz archive of plain arrays"),
    ],
)
def test_a_sample_that_does_not_fit_is_told_by_its_input(sample: memoryview, wrong: str) -> None:
    reason, told = refusal(odd.needs_576_samples(), sample=sample)
    assert reason == "sample"
    assert wrong in told.replace(" does not fit the model", "")


def test_a_model_that_fails_on_the_sample_is_refused() -> None:
    reason, told = refusal(odd.needs_576_samples(), sample=npz(x=np.zeros((1, 10))))
    assert reason == "sample_fails"
    assert "Reshape" in told


def test_rows_of_a_calibration_set_are_tried_first() -> None:
    rows = npz(x=np.zeros((200, 576), np.float32), y=np.zeros(200, np.int64))
    assert admitted(odd.needs_576_samples(), rows=rows).trial.shapes == {"x": (2, 576)}
    unfit = npz(x=np.zeros((200, 9)), y=np.zeros(200))
    assert admitted(odd.needs_576_samples(), rows=unfit).trial.shapes == {"x": (1, 576)}


def test_names_are_shown_short_and_printable() -> None:
    model = odd.never_runs()
    model.graph.node[0].name = "`\x1b[31m" + "long/" * 200 + "end"
    _, told = refusal(model)
    assert told.isprintable()
    assert "long/end" in told
    assert len(told) < 900


def test_an_output_that_is_a_sequence_of_tensors_is_refused() -> None:
    value = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    model = build([node("SequenceConstruct", ["x"], ["y"])], outputs=[value])
    reason, told = refusal(model)
    assert reason == "border_sequence"
    assert "output `y`" in told


def test_the_state_of_a_recurrent_layer_has_the_rows_of_the_input() -> None:
    model = odd.with_state()
    assert admitted(model).trial.shapes == {"x": (1, 32), "state": (2, 1, 4)}


def test_a_rate_of_samples_is_none_that_a_model_of_speech_never_sees() -> None:
    rate = TensorSpec(name="sr", datatype="INT64", shape=())
    assert make_values([rate], {"sr": ()}, "zeros")["sr"] == 16_000
