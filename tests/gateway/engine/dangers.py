"""Models that were dangerous to the process that ran them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto

from tests.gateway.artifacts.hostile_models import build, constant, node, tensor

LEAST: Final = np.iinfo(np.int64).min


def least_divided() -> onnx.ModelProto:
    """Divides the least number by `x + 1`: with -2 that is -1, and the processor traps."""
    return build(
        [node("Add", ["x", "one"], ["d"]), node("Div", ["least", "d"], ["y"])],
        inputs=[tensor("x", ["n"], TensorProto.INT64)],
        outputs=[tensor("y", ["n"], TensorProto.INT64)],
        constants=[constant("least", [LEAST]), constant("one", [1])],
    )


def quadratic_node(boxes: int) -> onnx.ModelProto:
    """Quick on zeros; on ones a single node compares every box with every other."""
    at = np.arange(boxes, dtype=np.float32) * 2
    corners = np.stack([at, 0 * at, at + 1, 0 * at + 1], axis=1)[None]
    return build(
        [
            node("ReduceMax", ["x"], ["most"], keepdims=0),
            node("Mul", ["scores", "most"], ["scored"]),
            node("NonMaxSuppression", ["boxes", "scored", "many", "iou", "above"], ["y"]),
        ],
        outputs=[tensor("y", ["k", 3], TensorProto.INT64)],
        constants=[
            constant("boxes", corners, np.float32),
            constant("scores", np.ones((1, 1, boxes)), np.float32),
            constant("many", [boxes]),
            constant("iou", [0.5], np.float32),
            constant("above", [0.5], np.float32),
        ],
    )


def as_large_as_told() -> onnx.ModelProto:
    """Makes an output of as many zeros as `x` says."""
    return build(
        [node("ConstantOfShape", ["x"], ["y"])],
        inputs=[tensor("x", [1], TensorProto.INT64)],
        outputs=[tensor("y", ["n"])],
    )


def wide() -> onnx.ModelProto:
    """Rows of 8 to rows of 4096 and back: memory in the middle of a run."""
    return build(
        [node("MatMul", ["x", "w"], ["h"]), node("ReduceSum", ["h", "last"], ["y"], keepdims=1)],
        inputs=[tensor("x", ["n", 8])],
        outputs=[tensor("y", ["n", 1])],
        constants=[constant("w", np.ones((8, 4096)), np.float32), constant("last", [1])],
    )


def plain(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString())


def row(*values: float, dtype: Any = np.float32) -> dict[str, Any]:
    return {"x": np.array([values], dtype)}


def endless_when_positive() -> onnx.ModelProto:
    """Ends at once on zeros, and never on ones."""
    body = onnx.helper.make_graph(
        [node("Identity", ["on"], ["goes_on"]), node("Add", ["sum", "sum"], ["more"])],
        "body",
        [
            tensor("number", [], TensorProto.INT64),
            tensor("on", [], TensorProto.BOOL),
            tensor("sum", ["n", 3]),
        ],
        [tensor("goes_on", [], TensorProto.BOOL), tensor("more", ["n", 3])],
    )
    return build(
        [
            node("ReduceMax", ["x"], ["most"], keepdims=0),
            node("Greater", ["most", "nothing"], ["begins"]),
            node("Loop", ["many", "begins", "x"], ["y"], body=body),
        ],
        constants=[constant("nothing", 0.0, np.float32), constant("many", 1 << 62)],
    )


def growing_when_positive() -> onnx.ModelProto:
    """Nothing on zeros; on ones it doubles what it holds until there is no more memory."""
    nodes, held = [], "x"
    for number in range(64):
        nodes.append(node("Concat", [held, held], [f"h{number}"], axis=0))
        held = f"h{number}"
    nodes.append(node("ReduceSum", [held], ["grown"], keepdims=0))
    zero = constant("", 0.0, np.float32)
    grow = onnx.helper.make_graph(nodes, "grow", [], [tensor("grown", [])])
    rest = onnx.helper.make_graph(
        [node("Constant", [], ["none"], value=zero)], "rest", [], [tensor("none", [])]
    )
    return build(
        [
            node("ReduceMax", ["x"], ["most"], keepdims=0),
            node("Greater", ["most", "nothing"], ["grows"]),
            node("If", ["grows"], ["y"], then_branch=grow, else_branch=rest),
        ],
        outputs=[tensor("y", [])],
        constants=[constant("nothing", 0.0, np.float32)],
    )
