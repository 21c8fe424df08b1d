"""Our own static pass over an ONNX model: what is refused before any runtime sees it.

The safety argument:

1. Everything is walked: the graph, the graphs inside attributes, every tensor wherever it hides
   (initialisers, attributes, sparse tensors). Nothing is expanded, folded or run.
2. Model-local functions are refused: a kilobyte of them expands to millions of nodes.
3. Only operators that the standard's own schemas know, and those of `contrib_operators`, get
   through; so no custom code is looked for. Domains that are imported and not used are harmless.
4. A tensor must bring its bytes with it, and exactly as many as its shape declares: no file is
   read on a model's behalf.
5. Nodes, nesting, declared sizes and the numbers of inputs and outputs are bounded.

What a static pass cannot see (a `Loop` that never ends, an `Expand` to gigabytes) is left to the
limits of the confined run, and to the limits of each request. This module runs in the sandbox only;
inputs and outputs are read by `onnx_border`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from gateway.artifacts.contrib_operators import FUSED_STANDARD, MICROSOFT
from gateway.artifacts.manifest import DIMENSION_LIMIT
from gateway.artifacts.model_refusals import Refusal, named

NODE_LIMIT: Final = 50_000  # the largest public vision and language graphs have some 10,000
NESTING_LIMIT: Final = 6  # exporters nest `If` and `Loop` two or three deep
DECLARED_LIMIT: Final = 2 << 30  # bytes of one tensor; protobuf ends there as well
OLDEST_OPSET: Final = 7  # what the runtime still promises to run
STANDARD: Final = ""
CONTRIBUTED: Final = "com.microsoft"
DOMAINS: Final = {
    "": STANDARD,
    "ai.onnx": STANDARD,
    "ai.onnx.ml": "ai.onnx.ml",
    CONTRIBUTED: CONTRIBUTED,
}

_TYPES: Final = onnx.TensorProto
# Bits of an element, and the field that holds the elements where they are not raw bytes. The
# field of small types holds one element in each entry, except for those of four bits and less.
_LAYOUT: Final[Mapping[int, tuple[int, str]]] = {
    _TYPES.FLOAT: (32, "float_data"),
    _TYPES.DOUBLE: (64, "double_data"),
    _TYPES.INT64: (64, "int64_data"),
    _TYPES.UINT64: (64, "uint64_data"),
    _TYPES.UINT32: (32, "uint64_data"),
    _TYPES.INT32: (32, "int32_data"),
    **{
        getattr(_TYPES, name): (16, "int32_data")
        for name in ("INT16", "UINT16", "FLOAT16", "BFLOAT16")
    },
    **{
        getattr(_TYPES, name): (8, "int32_data")
        for name in (
            *("INT8", "UINT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ"),
            *("FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"),
        )
        if hasattr(_TYPES, name)
    },
    **{
        getattr(_TYPES, name): (4, "int32_data")
        for name in ("INT4", "UINT4", "FLOAT4E2M1")
        if hasattr(_TYPES, name)
    },
}


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
        raise Refusal("malformed", found="it has no graph with an output")
    return model


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the walk found.

    Attributes:
        nodes: Their number, those of inner graphs included.
        opset: Operator-set version by domain, of the domains that nodes are of.
    """

    nodes: int
    opset: dict[str, int]


def inspect(model: Any) -> Inspected:
    """Refuse what no model needs.

    Args:
        model: A parsed `ModelProto`.

    Raises:
        Refusal: The model is refused.
    """
    if model.functions:
        raise Refusal("functions", named("function", model.functions[0].name))
    if model.training_info:
        raise Refusal("training_info")
    count = 0
    used: set[str] = set()
    for graph in _graphs(model.graph, 0):
        # Counted before anything of the graph is looked at: the bound is on our own work, too.
        count += len(graph.node)
        if count > NODE_LIMIT:
            raise Refusal("too_many_nodes")
        for node in graph.node:
            used.add(_check_node(node))
        for tensor in _tensors(graph):
            _check_tensor(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            _check_declared(value)
    return Inspected(count, {domain: _version(model, domain) for domain in sorted(used)})


def _version(model: Any, domain: str) -> int:
    """Return the version of a domain that is used; converters may list it twice if they agree."""
    shown = domain or "ai.onnx"
    listed = {e.version for e in model.opset_import if DOMAINS.get(e.domain) == domain}
    if not listed:
        raise Refusal("opset", found=f"`{shown}` is used and not imported")
    if len(listed) > 1:
        both = " and ".join(str(version) for version in sorted(listed)[:2])
        raise Refusal("opset", found=f"`{shown}` is listed with versions {both}")
    (version,) = listed
    oldest, newest = _versions(domain)
    if not oldest <= version <= newest:
        raise Refusal("opset", found=f"`{shown}` {version}, not {oldest} to {newest}")
    return int(version)


def _versions(domain: str) -> tuple[int, int]:
    if domain == STANDARD:
        return OLDEST_OPSET, onnx.defs.onnx_opset_version()
    return 1, 1 if domain == CONTRIBUTED else onnx.defs.onnx_ml_opset_version()


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


def _check_node(node: Any) -> str:
    """Return the domain of a node that may be there."""
    kind = text_of(node.op_type)
    domain = DOMAINS.get(node.domain)
    if domain is None:
        raise Refusal("domain", named("node", node.name, kind), named("domain", node.domain))
    known = kind in MICROSOFT if domain == CONTRIBUTED else onnx.defs.has(kind, domain)
    if not known and not (domain == STANDARD and kind in FUSED_STANDARD):
        raise Refusal("operator", named("node", node.name, kind), named("domain", node.domain))
    if any(attribute.ref_attr_name for attribute in node.attribute):
        # refers to a function's attribute, and there are none
        raise Refusal("malformed", named("node", node.name, kind))
    return domain


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
        # runtimes make it dense
        _check_size(list(sparse.dims), 64, named("tensor", sparse.values.name))
        yield sparse.values
        yield sparse.indices


def _check_tensor(tensor: Any) -> None:
    part = named("tensor", tensor.name)
    if tensor.data_location != _TYPES.DEFAULT or tensor.external_data:
        raise Refusal("external_data", part)
    if tensor.HasField("segment"):
        raise Refusal("malformed", part)
    count = math.prod(tensor.dims)
    if tensor.data_type == _TYPES.STRING:
        _check_size(list(tensor.dims), 8, part)
        if len(tensor.string_data) != count or tensor.raw_data:
            raise Refusal("tensor_size", part)
        return
    bits, field = _LAYOUT.get(tensor.data_type, (0, ""))
    if not bits:
        raise Refusal("tensor_type", part, f"type {tensor.data_type} of TensorProto")
    _check_size(list(tensor.dims), bits, part)
    if tensor.HasField("raw_data"):
        actual, expected = len(tensor.raw_data), -(-count * bits // 8)
    else:
        actual = len(getattr(tensor, field))
        expected = -(-count // 2) if bits == 4 else count
    if actual != expected:
        raise Refusal("tensor_size", part)


def _check_declared(value: Any) -> None:
    """Bound what a fixed shape makes the runtime allocate."""
    if value.type.HasField("tensor_type"):
        dims = value.type.tensor_type.shape.dim
        _check_size([max(1, dim.dim_value) for dim in dims], 8, named("tensor", value.name))


def _check_size(dims: list[int], bits: int, part: str) -> None:
    if len(dims) > DIMENSION_LIMIT or any(dim < 0 for dim in dims):
        raise Refusal("tensor_size", part)
    if math.prod(dims) * bits > DECLARED_LIMIT * 8:
        raise Refusal("tensor_size", part)


def text_of(value: object) -> str:
    """Return a string of the model; the parser hands over bytes where they are not UTF-8.

    Raises:
        Refusal: It is not UTF-8.
    """
    if not isinstance(value, str):
        raise Refusal("malformed")
    return value
