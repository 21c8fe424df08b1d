"""Models, good and hostile, each made by a few lines."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


def build(
    nodes: list[Any],
    *,
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
    constants: list[Any] | None = None,
    opset: list[Any] | None = None,
    **more: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [tensor("x", ["n", 3])] if inputs is None else inputs,
        [tensor("y", ["n", 3])] if outputs is None else outputs,
        constants or [],
    )
    imports = opset or [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9, **more)


def tensor(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, value: Any, dtype: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, outputs, **attributes)


def linear() -> onnx.ModelProto:
    """A good model: rows of 3 to rows of 2 and a label."""
    return build(
        [
            node("MatMul", ["x", "w"], ["y"]),
            node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
        ],
        outputs=[tensor("y", ["n", 2]), tensor("label", ["n"], TensorProto.INT64)],
        constants=[constant("w", [[1, 2], [3, 4], [5, 6]], np.float32)],
    )


def words() -> onnx.ModelProto:
    """A good model of strings, with one fixed dimension."""
    return build(
        [node("Identity", ["x"], ["y"])],
        inputs=[tensor("x", [4, None], TensorProto.STRING)],
        outputs=[tensor("y", [4, None], TensorProto.STRING)],
    )


def branches() -> onnx.ModelProto:
    """A good model with an `If`."""
    then, other = (
        helper.make_graph([node(kind, ["x"], ["b"])], "branch", [], [tensor("b", ["n", 3])])
        for kind in ("Neg", "Abs")
    )
    return build(
        [node("If", ["yes"], ["y"], then_branch=then, else_branch=other)],
        constants=[constant("yes", True, np.bool_)],
    )


def function_bomb() -> onnx.ModelProto:
    """Each of 21 functions calls the next one twice: two million nodes in 1.4 kB."""
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("bomb", 1)]

    def function(name: str, calls: list[Any]) -> Any:
        return helper.make_function("bomb", name, ["a"], ["c"], calls, imports)

    functions = [function("f0", [node("Neg", ["a"], ["c"])])]
    for level in range(1, 22):
        calls = [
            node(f"f{level - 1}", [a], [b], domain="bomb") for a, b in (("a", "b"), ("b", "c"))
        ]
        functions.append(function(f"f{level}", calls))
    return build([node("f21", ["x"], ["y"], domain="bomb")], opset=imports, functions=functions)


def expand_bomb() -> onnx.ModelProto:
    """Two gigabytes out of eight bytes."""
    return build(
        [node("Expand", ["x", "shape"], ["y"])],
        inputs=[tensor("x", [1])],
        outputs=[tensor("y", None)],
        constants=[constant("shape", [1 << 29])],
    )


def constant_bomb() -> onnx.ModelProto:
    """The same, folded while loading."""
    return build(
        [node("ConstantOfShape", ["shape"], ["c"]), node("ReduceSum", ["c"], ["y"])],
        inputs=[],
        outputs=[tensor("y", None)],
        constants=[constant("shape", [1 << 15, 1 << 15, 4])],
    )


def endless_loop() -> onnx.ModelProto:
    """A `Loop` whose condition stays true; the condition depends on the input, so nothing folds."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["again"]), node("Add", ["a", "a"], ["b"])],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL), tensor("a", [1])],
        [tensor("again", [], TensorProto.BOOL), tensor("b", [1])],
    )
    return build(
        [
            node("ReduceSum", ["x"], ["total"], keepdims=0),
            node("Equal", ["total", "total"], ["go0"]),
            node("Loop", ["", "go0", "x"], ["y"], body=body),
        ],
        inputs=[tensor("x", [1])],
        outputs=[tensor("y", [1])],
    )


def external(value: Any) -> Any:
    """Point a tensor at a file."""
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    entry = value.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return value


def external_initializer() -> onnx.ModelProto:
    return build(
        [node("Add", ["x", "w"], ["y"])],
        constants=[external(constant("w", [1, 2, 3], np.float32))],
    )


def external_attribute() -> onnx.ModelProto:
    value = external(constant("w", [1, 2, 3], np.float32))
    return build([node("Constant", [], ["w"], value=value), node("Add", ["x", "w"], ["y"])])


def external_in_branch() -> onnx.ModelProto:
    model = branches()
    branch = model.graph.node[0].attribute[0].g
    branch.initializer.append(external(constant("w", [1, 2, 3], np.float32)))
    return model


def external_sparse() -> onnx.ModelProto:
    values = external(constant("w", [1, 2, 3], np.float32))
    sparse = helper.make_sparse_tensor(values, constant("i", [0, 1, 2]), [9])
    return build([node("Constant", [], ["w"], sparse_value=sparse), node("Identity", ["x"], ["y"])])


def external_unmarked() -> onnx.ModelProto:
    """The location is given, but the tensor does not admit to being external."""
    model = external_initializer()
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    return model


def nested(depth: int) -> onnx.ModelProto:
    graph = helper.make_graph([node("Neg", ["x"], ["b"])], "b", [], [tensor("b", ["n", 3])])
    for _ in range(depth):
        inner = node("If", ["yes"], ["b"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([inner], "b", [], [tensor("b", ["n", 3])])
    return build(
        [node("If", ["yes"], ["y"], then_branch=graph, else_branch=graph)],
        constants=[constant("yes", True, np.bool_)],
    )


def deep_chain() -> bytes:
    """A graph in a graph, two thousand deep, spelled by hand: a parser may run out of stack."""

    def field(number: int, data: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(data)) + data

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    graph = b""
    for _ in range(2000):
        graph = field(1, field(5, field(6, graph)))  # GraphProto.node.attribute.g
    content: bytes = linear().SerializeToString()
    return content + field(7, graph)


def crowded() -> onnx.ModelProto:
    names = ["x", *(f"t{i}" for i in range(50_001))]
    nodes = [node("Neg", [a], [b]) for a, b in itertools.pairwise(names)]
    return build([*nodes, node("Neg", [names[-1]], ["y"])])


def lying_tensor() -> onnx.ModelProto:
    model = linear()
    model.graph.initializer[0].dims[:] = [3, 1 << 40]
    return model


def short_tensor() -> onnx.ModelProto:
    model = linear()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return model


def negative_tensor() -> onnx.ModelProto:
    model = linear()
    model.graph.initializer[0].dims[:] = [-3, -2]
    return model


def sequence_output() -> onnx.ModelProto:
    value = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return build([node("SequenceConstruct", ["x"], ["y"])], outputs=[value])


def trained() -> onnx.ModelProto:
    model = linear()
    model.training_info.add()
    return model


def identity(**changes: Any) -> onnx.ModelProto:
    return build([node("Identity", ["x"], ["y"])], **changes)


HOSTILE: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {
    "function_bomb": (function_bomb, "functions"),
    "external_initializer": (external_initializer, "external_data"),
    "external_attribute": (external_attribute, "external_data"),
    "external_in_branch": (external_in_branch, "external_data"),
    "external_sparse": (external_sparse, "external_data"),
    "external_unmarked": (external_unmarked, "external_data"),
    "nested": (lambda: nested(8), "nesting"),
    "nested_beyond_the_parser": (deep_chain, "malformed"),
    "crowded": (crowded, "too_many_nodes"),
    "lying_tensor": (lying_tensor, "tensor_size"),
    "short_tensor": (short_tensor, "tensor_size"),
    "negative_tensor": (negative_tensor, "tensor_size"),
    "huge_input": (
        lambda: identity(inputs=[tensor("x", [1 << 20, 1 << 20])]),
        "tensor_size",
    ),
    "sequence_output": (sequence_output, "border_sequence"),
    "complex_input": (
        lambda: identity(inputs=[tensor("x", [1], TensorProto.COMPLEX64)]),
        "border_type",
    ),
    "reserved_name": (
        lambda: build(
            [node("Identity", ["x"], ["sealgate.screen.p"])],
            outputs=[tensor("sealgate.screen.p", ["n", 3])],
        ),
        "border_name",
    ),
    "custom_domain": (
        lambda: build(
            [node("Backdoor", ["x"], ["y"], domain="evil")],
            opset=[helper.make_opsetid("", OPSET), helper.make_opsetid("evil", 1)],
        ),
        "domain",
    ),
    "undeclared_domain": (
        lambda: build([node("Gelu", ["x"], ["y"], domain="com.microsoft")]),
        "opset",
    ),
    "unread_operator": (
        lambda: build(
            [node("Tokenizer", ["x"], ["y"], domain="com.microsoft")],
            opset=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ),
        "operator",
    ),
    "file_reader": (
        lambda: build(
            [node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="/etc/x")],
            opset=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ),
        "operator",
    ),
    "unknown_operator": (lambda: build([node("Backdoor", ["x"], ["y"])]), "operator"),
    "future_opset": (lambda: identity(opset=[helper.make_opsetid("", 999)]), "opset"),
    "doubled_opset": (
        lambda: identity(opset=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx", 9)]),
        "opset",
    ),
    "trained": (trained, "training_info"),
    "no_outputs": (lambda: identity(outputs=[]), "malformed"),
    "garbage": (lambda: b"\x00\x01garbage" * 100, "malformed"),
    "empty": (lambda: b"", "malformed"),
    "truncated": (lambda: linear().SerializeToString()[:-7], "malformed"),
}
