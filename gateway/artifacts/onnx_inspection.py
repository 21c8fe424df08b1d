"""Our own static pass over an ONNX model: what is refused before any runtime sees it.

The safety argument:

1. Everything is walked: the graph, the graphs inside attributes, every tensor wherever it hides
   (initialisers, attributes, sparse tensors). Nothing is expanded, folded or run.
2. Model-local functions are refused: a kilobyte of them expands to millions of nodes.
3. Only operators that the standard's own schemas know, of the allowed domains, get through; so
   no custom code is looked for.
4. A tensor must bring its bytes with it, and exactly as many as its shape declares: no file is
   read on a model's behalf.
5. Nodes, nesting, declared sizes and the numbers of inputs and outputs are bounded.

What a static pass cannot see (a `Loop` that never ends, an `Expand` to gigabytes) is left to the
limits of the confined run, and to the timer and limits of each request. This module runs in the
sandbox only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from gateway.artifacts.manifest import DIMENSION_LIMIT, TensorSpec

NODE_LIMIT: Final = 50_000  # the largest public vision and language graphs have some 10,000
NESTING_LIMIT: Final = 6  # exporters nest `If` and `Loop` two or three deep
BORDER_LIMIT: Final = 256  # inputs or outputs
NAME_LIMIT: Final = 256
DECLARED_LIMIT: Final = 2 << 30  # bytes of one tensor; protobuf ends there as well
OLDEST_OPSET: Final = 7  # what the runtime still promises to run
RESERVED_PREFIX: Final = "sealgate"
DOMAINS: Final = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}

_TYPES: Final = onnx.TensorProto
DATATYPES: Final[Mapping[int, str]] = {
    _TYPES.BOOL: "BOOL",
    _TYPES.UINT8: "UINT8",
    _TYPES.UINT16: "UINT16",
    _TYPES.UINT32: "UINT32",
    _TYPES.UINT64: "UINT64",
    _TYPES.INT8: "INT8",
    _TYPES.INT16: "INT16",
    _TYPES.INT32: "INT32",
    _TYPES.INT64: "INT64",
    _TYPES.FLOAT16: "FP16",
    _TYPES.FLOAT: "FP32",
    _TYPES.DOUBLE: "FP64",
    _TYPES.STRING: "BYTES",
}
# Bits of an element, and the field that holds the elements where they are not raw bytes. The
# field of small types holds one element in each entry, except for those of four bits and less.
_LAYOUT: Final[Mapping[int, tuple[int, str]]] = {
    _TYPES.FLOAT: (32, "float_data"),
    _TYPES.DOUBLE: (64, "double_data"),
    _TYPES.INT64: (64, "int64_data"),
    _TYPES.UINT64: (64, "uint64_data"),
    _TYPES.UINT32: (32, "uint64_data"),
    _TYPES.INT32: (32, "int32_data"),
    _TYPES.INT16: (16, "int32_data"),
    _TYPES.UINT16: (16, "int32_data"),
    _TYPES.INT8: (8, "int32_data"),
    _TYPES.UINT8: (8, "int32_data"),
    _TYPES.BOOL: (8, "int32_data"),
    _TYPES.FLOAT16: (16, "int32_data"),
    _TYPES.BFLOAT16: (16, "int32_data"),
    _TYPES.INT4: (4, "int32_data"),
    _TYPES.UINT4: (4, "int32_data"),
}


class Refusal(Exception):
    """The model is refused; `reason` is one of `gateway.artifacts.admission.REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(data: bytes) -> Any:
    """Parse a model.

    Raises:
        Refusal: The bytes are no ONNX model.
    """
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        raise Refusal("malformed") from None
    if not model.HasField("graph") or not model.graph.output:
        raise Refusal("malformed")
    return model


def inspect(model: Any) -> int:
    """Refuse what no model needs.

    Args:
        model: A parsed `ModelProto`.

    Returns:
        The number of nodes, those of inner graphs included.

    Raises:
        Refusal: The model is refused.
    """
    if model.functions:
        raise Refusal("functions")
    if model.training_info:
        raise Refusal("training_info")
    opset_of(model)
    count = 0
    for graph in _graphs(model.graph, 0):
        # Counted before anything of the graph is looked at: the bound is on our own work, too.
        count += len(graph.node)
        if count > NODE_LIMIT:
            raise Refusal("too_many_nodes")
        for node in graph.node:
            _check_node(node)
        for tensor in _tensors(graph):
            _check_tensor(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            _check_declared(value)
    return count


def opset_of(model: Any) -> dict[str, int]:
    """Return the operator-set versions by domain.

    Raises:
        Refusal: A domain is not allowed, given twice, or of a version that is not supported.
    """
    opset: dict[str, int] = {}
    for entry in model.opset_import:
        domain = DOMAINS.get(entry.domain)
        if domain is None:
            raise Refusal("domain")
        newest = onnx.defs.onnx_opset_version() if domain == "" else 5
        oldest = OLDEST_OPSET if domain == "" else 1
        if domain in opset or not oldest <= entry.version <= newest:
            raise Refusal("opset")
        opset[domain] = entry.version
    if not opset:
        raise Refusal("opset")
    return opset


def border_inputs(model: Any) -> tuple[TensorSpec, ...]:
    """Return what the model takes; initialisers that are listed as inputs are not asked for.

    Raises:
        Refusal: An input is no tensor of a type and rank that can be served.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return _border([value for value in model.graph.input if value.name not in constants])


def border_outputs(model: Any) -> tuple[TensorSpec, ...]:
    """Return what the model gives; the shape is empty where the model does not declare one.

    Raises:
        Refusal: An output is no tensor of a type that can be served.
    """
    return _border(model.graph.output, shape_required=False)


def _graphs(graph: Any, depth: int) -> Iterator[Any]:
    """Yield a graph and those inside it; an outer one comes before its inner ones."""
    if depth > NESTING_LIMIT:
        raise Refusal("nesting")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g, depth + 1)
            for inner in attribute.graphs:
                yield from _graphs(inner, depth + 1)


def _check_node(node: Any) -> None:
    domain = DOMAINS.get(node.domain)
    if domain is None:
        raise Refusal("domain")
    if not onnx.defs.has(_text(node.op_type), domain):
        raise Refusal("operator")
    if any(attribute.ref_attr_name for attribute in node.attribute):
        raise Refusal("malformed")  # refers to a function's attribute, and there are none


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from _parts(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from _parts([attribute.sparse_tensor])
            yield from attribute.tensors
            yield from _parts(attribute.sparse_tensors)


def _parts(sparse_tensors: Iterable[Any]) -> Iterator[Any]:
    for sparse in sparse_tensors:
        _check_size(list(sparse.dims), 64)  # runtimes make it dense
        yield sparse.values
        yield sparse.indices


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location != _TYPES.DEFAULT or tensor.external_data:
        raise Refusal("external_data")
    if tensor.HasField("segment"):
        raise Refusal("malformed")
    count = math.prod(tensor.dims)
    if tensor.data_type == _TYPES.STRING:
        _check_size(list(tensor.dims), 8)
        if len(tensor.string_data) != count or tensor.raw_data:
            raise Refusal("tensor_size")
        return
    bits, field = _LAYOUT.get(tensor.data_type, (0, ""))
    if not bits:
        raise Refusal("tensor_type")
    _check_size(list(tensor.dims), bits)
    if tensor.HasField("raw_data"):
        actual, expected = len(tensor.raw_data), -(-count * bits // 8)
    else:
        actual = len(getattr(tensor, field))
        expected = -(-count // 2) if bits == 4 else count
    if actual != expected:
        raise Refusal("tensor_size")


def _check_declared(value: Any) -> None:
    """Bound what a fixed shape makes the runtime allocate."""
    if value.type.HasField("tensor_type"):
        dims = value.type.tensor_type.shape.dim
        _check_size([max(1, dim.dim_value) for dim in dims], 8)


def _check_size(dims: list[int], bits: int) -> None:
    if len(dims) > DIMENSION_LIMIT or any(dim < 0 for dim in dims):
        raise Refusal("tensor_size")
    if math.prod(dims) * bits > DECLARED_LIMIT * 8:
        raise Refusal("tensor_size")


def _border(values: Iterable[Any], *, shape_required: bool = True) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        if not value.type.HasField("tensor_type"):
            raise Refusal("border_type")
        tensor = value.type.tensor_type
        datatype = DATATYPES.get(tensor.elem_type)
        if datatype is None:
            raise Refusal("border_type")
        if shape_required and not tensor.HasField("shape"):
            raise Refusal("border_shape")
        name = _text(value.name)
        if not 1 <= len(name) <= NAME_LIMIT or name.startswith(RESERVED_PREFIX):
            raise Refusal("border_name")
        shape = tuple(_dimension(dim) for dim in tensor.shape.dim)
        specs.append(TensorSpec(name=name, datatype=datatype, shape=shape))  # type: ignore[arg-type]
    if len(specs) > BORDER_LIMIT:
        raise Refusal("border_count")
    if len({spec.name for spec in specs}) != len(specs):
        raise Refusal("border_name")
    return tuple(specs)


def _text(value: object) -> str:
    """Return a string of the model; the parser hands over bytes where they are not UTF-8."""
    if not isinstance(value, str):
        raise Refusal("malformed")
    return value


def _dimension(dim: Any) -> int:
    if not dim.HasField("dim_value"):
        return -1
    if not 1 <= dim.dim_value < 2**31:
        raise Refusal("border_shape")
    return int(dim.dim_value)
