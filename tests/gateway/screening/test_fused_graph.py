from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from gateway.screening.errors import CalibrationRefused
from gateway.screening.fused_graph import ClassOutput, fuse, read_model
from gateway.screening.reference import fit_reference
from gateway.screening.screens import (
    SCORES,
    fit_scales,
    raw_scores,
    scaled_scores,
    two_columns,
)
from tests.gateway.screening.classifiers import CLASSES, Answer, classifier, clouds

NUMPY = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
}
SHAPES: dict[Answer, ClassOutput] = {
    "logits": ClassOutput("z", CLASSES, "logits"),
    "probabilities": ClassOutput("p", CLASSES, "probabilities"),
    "label first": ClassOutput("p", CLASSES, "probabilities"),
    "one column": ClassOutput("p", 1, "probabilities"),
    "one logit": ClassOutput("z", 1, "logits"),
}


def run(model: bytes, x: Any) -> dict[str, Any]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"in": x}), strict=True))


def fused(answer: Answer, **options: Any) -> tuple[bytes, bytes, Any, Any]:
    """Return model, fused model, and what scores rows in double precision."""
    model = classifier(answer, **options)
    output = SHAPES[answer]
    classes = max(2, output.columns)
    x, y = clouds(200, seed=5, classes=classes)
    x = x.reshape(-1, 1, 2, 3) if options.get("image") else x
    dtype = NUMPY[options.get("input_type", TensorProto.FLOAT)]

    def class_scores(rows: Any) -> Any:
        return two_columns(run(model, rows.astype(dtype))[output.name], output.kind)

    reference = fit_reference(x, y, classes)
    scales = fit_scales(x, y, class_scores(x), output.kind)

    def expected(rows: Any) -> Any:
        raw = raw_scores(reference, rows, class_scores(rows), output.kind)
        return scaled_scores(raw, scales)

    return model, fuse(read_model(model), output, reference, scales), expected, dtype


@pytest.mark.parametrize("opset", range(9, 27))
@pytest.mark.parametrize("answer", ["logits", "label first"])
def test_fused_scores_equal_numpy_in_every_opset(answer: Answer, opset: int) -> None:
    model, screened, expected, dtype = fused(answer, opset=opset)
    onnx.checker.check_model(onnx.load_model_from_string(screened), full_check=True)
    x, _ = clouds(50, seed=9)
    x[:10] += 4.0  # some strange ones, so that scores are not all nought
    before, after = run(model, x.astype(dtype)), run(screened, x.astype(dtype))
    scores = after.pop(SCORES)
    assert np.allclose(scores, expected(x), rtol=1e-4, atol=1e-4)
    assert scores.dtype == np.float32
    assert scores[:10].max() > 1.0
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@pytest.mark.parametrize("answer", SHAPES)
@pytest.mark.parametrize("input_type", NUMPY)
def test_kinds_of_answers_and_inputs(answer: Answer, input_type: int) -> None:
    model, screened, expected, dtype = fused(answer, input_type=input_type)
    classes = max(2, SHAPES[answer].columns)
    x = clouds(40, seed=3, classes=classes)[0].astype(dtype)
    before, after = run(model, x), run(screened, x)
    assert np.allclose(after.pop(SCORES), expected(x.astype(np.float32)), rtol=1e-4, atol=1e-4)
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_images_and_any_number_of_rows() -> None:
    _, screened, expected, _ = fused("probabilities", image=True)
    x = clouds(64, seed=4)[0].reshape(-1, 1, 2, 3)
    together = run(screened, x)[SCORES]
    assert np.allclose(together, expected(x), rtol=1e-4, atol=1e-4)
    for row in range(5):
        assert np.allclose(run(screened, x[row : row + 1])[SCORES], together[row], atol=1e-4)


@pytest.mark.parametrize("value", [1e12, 1e20, 3e38, -3e38, np.inf, np.nan])
def test_what_overflows_is_strangest(value: float) -> None:
    _, screened, _, _ = fused("probabilities")
    x = clouds(3, seed=4)[0]
    x[1, 4] = value
    scores = run(screened, x)[SCORES]
    assert np.isfinite(scores).all()
    assert scores[1].max() > 5.0
    assert scores[[0, 2]].max() < 5.0


def test_a_constant_column_and_repeated_rows_do_not_break_the_fit() -> None:
    x, y = clouds(60, seed=2)
    x[:, 3] = 7.0
    x = np.concatenate([x, x, x])
    y = np.tile(y, 3)
    reference = fit_reference(x, y, CLASSES)
    scores = raw_scores(reference, x, np.eye(CLASSES)[y], "probabilities")
    assert np.isfinite(scores).all()


def test_the_same_fit_gives_the_same_bytes() -> None:
    assert fused("logits")[1] == fused("logits")[1]


def test_the_model_itself_is_left_alone() -> None:
    data = classifier()
    parsed = read_model(data)
    before = parsed.SerializeToString(deterministic=True)
    x, y = clouds(100, seed=5)
    scales = fit_scales(x, y, np.eye(CLASSES)[y], "probabilities")
    fuse(parsed, SHAPES["probabilities"], fit_reference(x, y, CLASSES), scales)
    assert parsed.SerializeToString(deterministic=True) == before


def test_reserved_names_are_refused_wherever_they_are() -> None:
    with pytest.raises(CalibrationRefused, match="reserved"):
        read_model(classifier(tensor=SCORES))
    branch = helper.make_graph(
        [helper.make_node("Identity", ["flag"], ["sealgate.screen.0"])],
        "branch",
        [],
        [helper.make_tensor_value_info("sealgate.screen.0", TensorProto.BOOL, [1])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Greater", ["in", "in"], ["flag"]),
            helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch),
        ],
        "outer",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("out", TensorProto.BOOL, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(CalibrationRefused, match="reserved"):
        read_model(model.SerializeToString())


def test_opsets_without_the_nodes_of_a_screen_are_refused() -> None:
    model = onnx.load_model_from_string(classifier())
    model.opset_import[0].version = 8
    with pytest.raises(CalibrationRefused, match="opset"):
        read_model(model.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a model", b"\x08\x08" * 50])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CalibrationRefused):
        read_model(data)


def test_one_numeric_input_with_rows_is_wanted() -> None:
    model = onnx.load_model_from_string(classifier())
    second = model.graph.input.add()
    second.CopyFrom(model.graph.input[0])
    second.name = "second"
    with pytest.raises(CalibrationRefused, match="one numeric input"):
        read_model(model.SerializeToString())


def test_a_model_of_ml_operators_alone_gets_the_standard_that_its_screen_needs() -> None:
    scaler = helper.make_node(
        "Scaler", ["in"], ["p"], domain="ai.onnx.ml", offset=[0.0], scale=[1.0]
    )
    graph = helper.make_graph(
        [scaler],
        "scaler",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["rows", 3])],
    )
    imports = [helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, ir_version=8, opset_imports=imports).SerializeToString()
    x, y = clouds(60, seed=5)
    x = x[:, :3]
    reference = fit_reference(x, y, CLASSES)
    scales = fit_scales(x, y, x, "logits")
    screened = fuse(read_model(model), SHAPES["probabilities"], reference, scales)
    assert run(screened, x)[SCORES].shape == (60, 4)
