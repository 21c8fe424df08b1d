"""Small classifiers of Gaussian clouds, written as ONNX in the shapes that owners bring."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES = 6
CLASSES = 3
CENTRES = 3.0 * np.eye(CLASSES, FEATURES)

Answer = Literal["logits", "probabilities", "label first", "one column", "one logit"]


def clouds(rows: int, seed: int, classes: int = CLASSES) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    x = CENTRES[y] + rng.normal(0.0, 0.8, (rows, FEATURES))
    return x.astype(np.float32), y.astype(np.int64)


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def classifier(
    answer: Answer = "probabilities",
    *,
    opset: int = 17,
    image: bool = False,
    input_type: int = TensorProto.FLOAT,
    rows: str | int = "rows",
    tensor: str = "hidden",
) -> bytes:
    """The exact classifier of `clouds`: a linear one."""
    binary = answer in ("one column", "one logit")
    weights = (CENTRES.T / 0.64).astype(np.float32)
    biases = (-(CENTRES**2).sum(axis=1) / 1.28).astype(np.float32)
    if binary:
        weights, biases = weights[:, 1:2] - weights[:, 0:1], biases[1:2] - biases[0:1]
    columns = weights.shape[1]
    nodes = [
        helper.make_node("Cast", ["in"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["cast"], [tensor], axis=1),
        helper.make_node("Gemm", [tensor, "w", "b"], ["z"]),
    ]
    outputs = [("z", TensorProto.FLOAT, [rows, columns])]
    if answer in ("probabilities", "label first"):
        nodes.append(helper.make_node("Softmax", ["z"], ["p"], axis=1))
        outputs = [("p", TensorProto.FLOAT, [rows, columns])]
    if answer == "one column":
        nodes.append(helper.make_node("Sigmoid", ["z"], ["p"]))
        outputs = [("p", TensorProto.FLOAT, [rows, 1])]
    if answer == "label first":
        nodes.append(helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0))
        outputs.insert(0, ("label", TensorProto.INT64, [rows]))
    shape = [1, 2, 3] if image else [FEATURES]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("in", input_type, [rows, *shape])],
        [helper.make_tensor_value_info(*output) for output in outputs],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(biases, "b")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
