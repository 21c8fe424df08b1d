"""What a model takes and gives, read from its graph. Runs in the sandbox only.

1. Names, types, ranks and numbers of inputs and outputs are held to what a request and a manifest
   can carry; the part at fault is named.
2. A size that is missing, zero or negative, or a shape that is missing, is open: exporters write
   all of these for "any". The trial run shows what is behind them.
3. An initialiser that is listed as an input is a default that callers may replace, where that was
   meant: not in files of before IR 4, which had to list every weight, and not where an exporter
   listed more than `DEFAULTS_LIMIT` of them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import onnx
import onnx.numpy_helper

from gateway.artifacts.manifest import RANK_LIMIT, TensorSpec
from gateway.artifacts.model_refusals import Refusal, named
from gateway.artifacts.onnx_inspection import text_of

BORDER_LIMIT: Final = 256  # inputs or outputs
NAME_LIMIT: Final = 256
RESERVED_PREFIX: Final = "sealgate"
DEFAULTS_LIMIT: Final = 16
"""Inputs with defaults; models have one to four, exporters that list weights have dozens."""
_LISTED_WEIGHTS: Final = 3  # the last IR version in which weights had to be listed as inputs
_SYMBOL_LIMIT: Final = 64
_SHAPE_LENGTH: Final = 8  # elements of a constant that may be a shape
_BAKED_LIMIT: Final = 4096
_BAKED_COUNT: Final = 16
_NO_SYMBOLS: Final = frozenset({"?", "none", "null", "unknown", "dynamic", "any"})

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
    _TYPES.BFLOAT16: "BF16",
    _TYPES.FLOAT: "FP32",
    _TYPES.DOUBLE: "FP64",
    _TYPES.STRING: "BYTES",
}


@dataclass(frozen=True, slots=True)
class Border:
    """One input or output.

    Attributes:
        spec: As far as the graph declares it; the shape is empty where it declares none.
        ranked: Whether the graph declares how many dimensions there are.
    """

    spec: TensorSpec
    ranked: bool


def border_inputs(model: Any) -> tuple[Border, ...]:
    """Return what the model takes.

    Raises:
        Refusal: An input is no tensor of a type and rank that can be served.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    taken = [value for value in model.graph.input if value.name not in weights]
    replaceable = [value for value in model.graph.input if value.name in weights]
    if model.ir_version <= _LISTED_WEIGHTS or len(replaceable) > DEFAULTS_LIMIT:
        replaceable = []
    names = frozenset(text_of(value.name) for value in replaceable)
    return _border("input", [*taken, *replaceable], names, RANK_LIMIT)


def border_outputs(model: Any) -> tuple[Border, ...]:
    """Return what the model gives.

    Raises:
        Refusal: An output is no tensor of a type that can be served.
    """
    return _border("output", model.graph.output, frozenset(), None, _makers(model))


def takes_missing(model: Any) -> tuple[str, ...]:
    """Return the inputs whose missing values the model's trees tell apart from others.

    Boosters are trained with missing values (not-a-number), and say at each split where these go.
    """
    trees = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    if not any(
        attribute.name == "nodes_missing_value_tracks_true" and any(attribute.ints)
        for node in trees
        for attribute in node.attribute
    ):
        return ()
    return tuple(
        border.spec.name
        for border in border_inputs(model)
        if border.spec.datatype in ("FP32", "FP64") and not border.spec.optional
    )


def baked_sizes(model: Any) -> tuple[int, ...]:
    """Return small sizes that the graph's constants speak of, the commonest first.

    A traced model often runs on the sizes of the example that it was traced with alone, whatever
    it declares: they stand in the shapes that it reshapes to.
    """
    constants = [
        attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
    ]
    seen = Counter(
        int(value)
        for tensor in (*model.graph.initializer, *constants)
        if tensor.data_type == _TYPES.INT64 and math.prod(tensor.dims) <= _SHAPE_LENGTH
        for value in onnx.numpy_helper.to_array(tensor).ravel()
        if 1 < value <= _BAKED_LIMIT
    )
    return tuple(sorted(seen, key=lambda size: (-seen[size], size))[:_BAKED_COUNT])


def _border(
    kind: str,
    values: Iterable[Any],
    optional: frozenset[str],
    most: int | None,
    makers: Mapping[str, str] | None = None,
) -> tuple[Border, ...]:
    found: list[Border] = []
    seen: set[str] = set()
    for value in values:
        name = text_of(value.name)
        part = named(kind, name)
        if not 1 <= len(name) <= NAME_LIMIT or name.startswith(RESERVED_PREFIX) or name in seen:
            raise Refusal("border_name", part)
        seen.add(name)
        tensor = _tensor_type(part, value, (makers or {}).get(name, ""))
        dims = tensor.shape.dim
        if most is not None and len(dims) > most:
            raise Refusal("border_rank", part, f"{len(dims)} dimensions")
        symbols = tuple(_symbol(dim) for dim in dims)
        spec = TensorSpec(
            name=name,
            datatype=DATATYPES[tensor.elem_type],  # type: ignore[arg-type]
            shape=tuple(_size(part, dim) for dim in dims),
            symbols=symbols if any(symbols) else (),
            optional=name in optional,
        )
        found.append(Border(spec, tensor.HasField("shape")))
        if len(found) > BORDER_LIMIT:
            raise Refusal("border_count")
    return tuple(found)


def _tensor_type(part: str, value: Any, maker: str) -> Any:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        element = value.type.sequence_type.elem_type if kind == "sequence_type" else value.type
        if maker == "ZipMap" or element.WhichOneof("value") == "map_type":
            raise Refusal("border_map", part)
        of_tensors = kind in ("sequence_type", "optional_type")
        raise Refusal("border_sequence" if of_tensors else "border_type", part)
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        raise Refusal("border_type", part, f"type {tensor.elem_type} of TensorProto")
    return tensor


def _makers(model: Any) -> dict[str, str]:
    """Return the operator by the output that it makes."""
    return {output: node.op_type for node in model.graph.node for output in node.output}


def _size(part: str, dim: Any) -> int:
    if not dim.HasField("dim_value") or dim.dim_value <= 0:
        return -1
    if dim.dim_value >= 2**31:
        raise Refusal("border_shape", part)
    return int(dim.dim_value)


def _symbol(dim: Any) -> str:
    """Return the name of an open dimension, or nothing where it says no more than "open"."""
    if not dim.HasField("dim_param"):
        return ""
    text = text_of(dim.dim_param).strip()
    if text.lower() in _NO_SYMBOLS or not any(c.isalpha() for c in text):
        return ""
    if len(text) <= _SYMBOL_LIMIT and text.isprintable():
        return text
    return f"dim-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
