"""Models as producers really write them: each is valid for the runtime, and was once refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.gateway.artifacts.hostile_models import build, constant, node, tensor


def relu(**changes: Any) -> onnx.ModelProto:
    return build([node("Relu", ["x"], ["y"])], **changes)


def imports(*listed: tuple[str, int]) -> onnx.ModelProto:
    return relu(opset=[helper.make_opsetid(domain, version) for domain, version in listed])


def with_size(value: int) -> onnx.ModelProto:
    """An open dimension as a number that is none (paddle2onnx)."""
    model = relu()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = value
    return model


def shapeless() -> onnx.ModelProto:
    model = relu()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    return model


def needs_576_samples() -> onnx.ModelProto:
    return build(
        [
            node("Slice", ["x", "start", "end", "axis"], ["w"]),
            node("Reshape", ["w", "frame"], ["y"]),
        ],
        inputs=[tensor("x", ["n", "samples"])],
        outputs=[tensor("y", ["n", 576])],
        constants=[
            constant("start", [0]),
            constant("end", [576]),
            constant("axis", [1]),
            constant("frame", [-1, 576]),
        ],
    )


def multiple_of_32() -> onnx.ModelProto:
    return build(
        [node("Reshape", ["x", "columns"], ["y"])],
        inputs=[tensor("x", [1, 3, "h", 32])],
        outputs=[tensor("y", ["k", 3 * 32 * 32])],
        constants=[constant("columns", [-1, 3 * 32 * 32])],
    )


def needs_a_step() -> onnx.ModelProto:
    """A range whose step is an input: zero is no step."""
    return build(
        [node("Range", ["start", "end", "step"], ["y"])],
        inputs=[tensor("step", [], TensorProto.INT64)],
        outputs=[tensor("y", ["n"], TensorProto.INT64)],
        constants=[constant("start", 0), constant("end", 9)],
    )


def graph_network(*, named: bool = True) -> onnx.ModelProto:
    return build(
        [
            node("Gather", ["nodes", "edges"], ["g"], axis=0),
            node("ReduceSum", ["g"], ["y"], keepdims=0),
        ],
        inputs=[
            tensor("nodes", ["n" if named else None, 8]),
            tensor("edges", ["m" if named else None], TensorProto.INT64),
        ],
        outputs=[tensor("y", [])],
    )


def two_inputs(*, named: bool = True) -> onnx.ModelProto:
    rows = "n" if named else None
    return build(
        [node("Concat", ["a", "b"], ["y"], axis=1)],
        inputs=[tensor("a", [rows, 2]), tensor("b", [rows, 2])],
        outputs=[tensor("y", [rows, 4])],
    )


def masked_attention() -> onnx.ModelProto:
    """A decoder's mask is as long as past and present together (optimum)."""
    return build(
        [
            node("Shape", ["past"], ["past_shape"]),
            node("Gather", ["past_shape", "one"], ["past_length"], axis=0),
            node("Shape", ["tokens"], ["tokens_shape"]),
            node("Gather", ["tokens_shape", "one"], ["length"], axis=0),
            node("Add", ["past_length", "length"], ["both"]),
            node("Concat", ["row", "both"], ["wanted"], axis=0),
            node("Reshape", ["mask", "wanted"], ["y"]),
        ],
        inputs=[
            tensor("tokens", [1, "sequence"], TensorProto.INT64),
            tensor("mask", [1, "past_sequence + sequence"]),
            tensor("past", [1, "past_sequence", 4]),
        ],
        outputs=[tensor("y", [1, "past_sequence + sequence"])],
        constants=[constant("one", [1]), constant("row", [1])],
    )


def with_state() -> onnx.ModelProto:
    """A voice detector: frames of 32, and what the layer remembers of each row, without names."""
    return build(
        [
            node("Reshape", ["x", "frames"], ["f"]),
            node("Shape", ["f"], ["f_shape"]),
            node("Gather", ["f_shape", "zero"], ["rows"], axis=0),
            node("Concat", ["two", "rows", "four"], ["wanted"], axis=0),
            node("Reshape", ["state", "wanted"], ["y"]),
        ],
        inputs=[tensor("x", [None, None]), tensor("state", [2, None, 4])],
        outputs=[tensor("y", [2, None, 4]), tensor("f", [None, 32])],
        constants=[
            constant("frames", [-1, 32]),
            constant("zero", [0]),
            constant("two", [2]),
            constant("four", [4]),
        ],
    )


def with_default() -> onnx.ModelProto:
    return build(
        [node("Mul", ["x", "k"], ["y"])],
        inputs=[tensor("x", ["n", 3]), tensor("k", [1])],
        constants=[constant("k", [2], np.float32)],
    )


def with_listed_weights(count: int, *, ir_version: int = 9) -> onnx.ModelProto:
    """An exporter that lists every weight as an input."""
    names = ["x", *(f"w{i}" for i in range(count))]
    nodes, last = [], "x"
    for i, name in enumerate(names[1:]):
        made = "y" if i == count - 1 else f"t{i}"
        nodes.append(node("Mul", [last, name], [made]))
        last = made
    model = build(
        nodes,
        inputs=[tensor("x", ["n", 3]), *(tensor(name, [1]) for name in names[1:])],
        constants=[constant(name, [2], np.float32) for name in names[1:]],
    )
    model.ir_version = ir_version
    return model


def of_rank(rank: int) -> onnx.ModelProto:
    shape = ["n", *[1] * (rank - 1)]
    return relu(inputs=[tensor("x", shape)], outputs=[tensor("y", shape)])


def bfloat16() -> onnx.ModelProto:
    return build(
        [
            node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
            node("Relu", ["wide"], ["positive"]),
            node("Cast", ["positive"], ["y"], to=TensorProto.BFLOAT16),
        ],
        inputs=[tensor("x", ["n", 3], TensorProto.BFLOAT16)],
        outputs=[tensor("y", ["n", 3], TensorProto.BFLOAT16)],
    )


def strings() -> onnx.ModelProto:
    encoder = node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml",
        keys_strings=["a", "b"], values_int64s=[0, 1], default_int64=-1,
    )  # fmt: skip
    return build(
        [encoder],
        inputs=[tensor("x", ["n", 1], TensorProto.STRING)],
        outputs=[tensor("y", ["n", 1], TensorProto.INT64)],
        opset=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)],
    )


def zip_map() -> onnx.ModelProto:
    """A classifier as scikit-learn's converter writes it by default."""
    value = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    output = helper.make_value_info("probabilities", helper.make_sequence_type_proto(value))
    return build(
        [
            node("Softmax", ["x"], ["p"]),
            node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml",
                 classlabels_int64s=[0, 1, 2]),
        ],
        outputs=[output],
        opset=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)],
    )  # fmt: skip


def boosted(*, missing: bool = True) -> onnx.ModelProto:
    """One split, as XGBoost and LightGBM are converted: missing values go to the left."""
    trees = node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LT", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[int(missing), 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
        target_weights=[1.0, 2.0],
    )  # fmt: skip
    return build(
        [trees],
        outputs=[tensor("y", ["n", 1])],
        opset=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )


def optimised(kind: str = "FusedMatMul") -> onnx.ModelProto:
    """A node of the runtime's own domain, as its optimisers write it."""
    return build(
        [node(kind, ["x", "w"], ["y"], domain="com.microsoft")],
        constants=[constant("w", np.eye(3), np.float32)],
        opset=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
    )


def wrong_output_size() -> onnx.ModelProto:
    """The runtime warns of an output that is not as declared, and answers."""
    return relu(outputs=[tensor("y", ["n", 7])])


def never_runs() -> onnx.ModelProto:
    return build(
        [node("Reshape", ["x", "odd"], ["y"], name="/head/Reshape_3")],
        inputs=[tensor("x", ["n", 4])],
        outputs=[tensor("y", [None, 99991])],
        constants=[constant("odd", [-1, 99991])],
    )


def label_of_one_row() -> onnx.ModelProto:
    """A classifier as LightGBM's converter writes it: the label is `[1]` whatever the rows."""
    return build(
        [node("ArgMax", ["x"], ["label"], axis=1, keepdims=0), node("Relu", ["x"], ["y"])],
        inputs=[tensor("x", ["n", 3])],
        outputs=[tensor("label", [1], TensorProto.INT64), tensor("y", ["n", 3])],
    )


def frames_of_the_example() -> onnx.ModelProto:
    """An output that follows the second dimension, declared with that of an example."""
    return build(
        [node("ReduceMax", ["x"], ["y"], axes=[2], keepdims=0)],
        inputs=[tensor("x", [2, "frames", 4])],
        outputs=[tensor("y", [2, 1])],
        opset=[helper.make_opsetid("", 13)],
    )


def squeezed() -> onnx.ModelProto:
    """A rank that follows the rows: a single one loses its dimension."""
    return build([node("Squeeze", ["x"], ["y"])])


def of_one_row_alone() -> onnx.ModelProto:
    """Takes any number of rows, it says, and runs on one."""
    return build(
        [node("Reshape", ["x", "one"], ["y"])],
        outputs=[tensor("y", [1, 3])],
        constants=[constant("one", [1, 3])],
    )
