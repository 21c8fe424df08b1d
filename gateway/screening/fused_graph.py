"""Compile a screen into the model's own ONNX graph: one run answers and scores. Pure.

Safety argument:
1. Nodes are only added. No node, initialiser or output of the model is changed or renamed, so its
   answers stay what they were; calibration proves that bit for bit on real rows.
2. Every added name starts with `PREFIX`, and a model that uses such a name anywhere, subgraphs
   included, is refused: it cannot write its own scores.
3. The predicted class is taken inside the graph, from the very tensor that is answered.
4. An input that overflows the arithmetic gets the largest score: what is left of it outside the
   basis, if only by rounding, overflows when squared, and not-a-number is mapped explicitly.

The graph holds calibration rows as initialisers: it is stored encrypted and never delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.screening.errors import CalibrationRefused
from gateway.screening.reference import Reference
from gateway.screening.screens import (
    FAR,
    MAX_SCORE,
    PREFIX,
    SCORES,
    SCREENS,
    TINY_PROBABILITY,
    TINY_RATIO,
    TINY_RESIDUAL,
    Scales,
    ScoreKind,
)

# `Where` and `IsNaN` are younger than 8; what is newest is for the runtime to say.
MIN_OPSET: Final = 9
# From these opsets on operators take as inputs what were attributes, or are there at all.
_COUNT_AS_INPUT: Final = 10  # of TopK
_BOUNDS_AS_INPUTS: Final = 11  # of Clip
_GATHER_ELEMENTS: Final = 11
_SIZES_AS_INPUT: Final = 13  # of Split
_AXES_AS_INPUT: Final = 18  # of reductions
_ADDED_OPSET: Final = 17
_MAX_NESTING: Final = 16

_NUMERIC: Final = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
        *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
    }
)


def read_model(data: bytes) -> Any:
    """Parse a model and hold it to what can be screened.

    Returns:
        The `onnx.ModelProto`.

    Raises:
        CalibrationRefused: `model`, `inputs` or `names`.
    """
    try:
        model = onnx.load_model_from_string(data)
        opset = _opset(model)
    except Exception as error:  # protobuf's errors share no public base class
        raise CalibrationRefused("model") from error
    if opset < MIN_OPSET:
        raise CalibrationRefused("model")
    if any(name.startswith(PREFIX) for name in _names(model.graph, 0)):
        raise CalibrationRefused("names")
    input_of(model)
    return model


@dataclass(frozen=True, slots=True)
class ClassOutput:
    """The output that names the predicted class.

    Attributes:
        name: Of the output.
        columns: Scores a row: one a class, or 1 for the second class of two.
        kind: Whether they are probabilities or logits.
    """

    name: str
    columns: int
    kind: ScoreKind


def _opset(model: Any) -> int:
    """Return the standard's version; one that no node needs may be missing, and is added."""
    listed = (int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return next(listed, _ADDED_OPSET)


def input_of(model: Any) -> Any:
    """Return the single input, or refuse the model."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise CalibrationRefused("inputs")
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type not in _NUMERIC or len(tensor.shape.dim) < 2:
        raise CalibrationRefused("inputs")
    return inputs[0]


def _names(graph: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_NESTING:
        raise CalibrationRefused("model")
    for values in (graph.input, graph.output, graph.initializer, graph.value_info):
        yield from (value.name for value in values)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield node.name
        yield from node.output
        for attribute in node.attribute:
            subgraphs = [attribute.g] if attribute.HasField("g") else []
            for subgraph in (*subgraphs, *attribute.graphs):
                yield from _names(subgraph, depth + 1)


def fuse(model: Any, answer: ClassOutput, reference: Reference, scales: Scales) -> bytes:
    """Return the model with the output `SCORES`, float32, (rows, 4), beside its own.

    Args:
        model: What `read_model` returned; it is left alone.
        answer: The output that holds class scores.
        reference: The fitted screen.
        scales: Its scales.
    """
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    if not any(o.domain in ("", "ai.onnx") for o in model.opset_import):
        fused.opset_import.append(helper.make_opsetid("", _ADDED_OPSET))
    value = input_of(model)
    screen = _Screen(_opset(model))
    scores = screen.class_scores(answer, reference.classes)
    predicted = screen.node("ArgMax", [scores], axis=1, keepdims=1)
    trust, residual, opinion = screen.compare(value.name, predicted, reference)
    margin = screen.margin(scores, answer.kind)
    screen.finish([trust, residual, opinion, margin], scales)
    fused.graph.initializer.extend(screen.constants)
    fused.graph.node.extend(screen.nodes)
    rows = value.type.tensor_type.shape.dim[0].dim_param or None
    fused.graph.output.append(
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [rows, len(SCREENS)])
    )
    return bytes(fused.SerializeToString(deterministic=True))


class _Screen:
    """Nodes and constants under construction; every name of theirs starts with `PREFIX`.

    Each method mirrors a step of `screens.raw_scores`.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        name = output or f"{PREFIX}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}.node", **attributes))
        return name

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        array = np.array(value, dtype=dtype, order="C")
        name = f"{PREFIX}constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def reduce(self, kind: str, tensor: str, axis: int, *, keep: bool) -> str:
        if self.opset >= _AXES_AS_INPUT:
            axes = self.constant([axis], np.int64)
            return self.node(kind, [tensor, axes], keepdims=int(keep))
        return self.node(kind, [tensor], axes=[axis], keepdims=int(keep))

    def picked(self, values: str, predicted: str, own_class: str) -> str:
        """The value of the predicted class of each row, (rows, 1)."""
        if self.opset >= _GATHER_ELEMENTS:
            return self.node("GatherElements", [values, predicted], axis=1)
        # The sum of it and of zeros is itself, not-a-number included.
        alone = self.node("Where", [own_class, values, self.constant(0.0)])
        return self.reduce("ReduceSum", alone, 1, keep=True)

    def squared_length(self, tensor: str) -> str:
        return self.reduce("ReduceSumSquare", tensor, 1, keep=True)

    def class_scores(self, answer: ClassOutput, classes: int) -> str:
        """The class output as float32 of (rows, classes)."""
        scores = self.node("Cast", [answer.name], to=TensorProto.FLOAT)
        scores = self.node("Reshape", [scores, self.constant([-1, answer.columns], np.int64)])
        if answer.columns == classes:
            return scores
        if answer.kind == "probabilities":
            other = self.node("Sub", [self.constant(1.0), scores])
        else:
            other = self.node("Sub", [scores, scores])
        return self.node("Concat", [other, scores], axis=1)

    def compare(self, source: str, predicted: str, reference: Reference) -> list[str]:
        """The raw scores `trust`, `residual` and `opinion`, each (rows, 1)."""
        flat = self.node("Cast", [self.node("Flatten", [source], axis=1)], to=TensorProto.FLOAT)
        centred = self.node("Sub", [flat, self.constant(reference.mean)])
        features = self.node("Mul", [centred, self.constant(reference.inverse_scale)])
        basis = self.constant(reference.basis)
        coordinates = self.node("MatMul", [features, basis])
        lengths = self.squared_length(coordinates)
        doubled = self.constant(2.0 * reference.points.T)
        offsets = self.constant(-reference.offsets)
        products = self.node("Gemm", [coordinates, doubled, offsets])
        closeness = self.node("Sub", [products, lengths])
        by_class = self.node(
            "Reshape", [closeness, self.constant([0, reference.classes, -1], np.int64)]
        )
        nearest = self.node("Abs", [self.reduce("ReduceMax", by_class, 2, keep=False)])
        classes = self.constant([range(reference.classes)], np.int64)
        own_class = self.node("Equal", [predicted, classes])
        return [
            self._trust(nearest, predicted, own_class),
            self._residual(features, coordinates, basis, nearest, reference.reach),
            self._opinion(closeness, predicted, own_class, reference),
        ]

    def _trust(self, nearest: str, predicted: str, own_class: str) -> str:
        own = self.picked(nearest, predicted, own_class)
        others = self.node("Where", [own_class, self.constant(FAR), nearest])
        other = self.reduce("ReduceMin", others, 1, keep=True)
        ratio = self.node("Div", [own, self.node("Add", [other, self.constant(TINY_RATIO)])])
        return self.node("Log", [self.node("Max", [ratio, self.constant(TINY_RATIO)])])

    def _residual(
        self, features: str, coordinates: str, basis: str, nearest: str, reach: float
    ) -> str:
        rest = self.node("Gemm", [coordinates, basis, features], alpha=-1.0, transB=1)
        closest = self.reduce("ReduceMin", nearest, 1, keep=True)
        beyond = self.node("Relu", [self.node("Sub", [closest, self.constant(reach)])])
        strange = self.node("Add", [self.squared_length(rest), beyond])
        return self.node("Log", [self.node("Add", [strange, self.constant(TINY_RESIDUAL)])])

    def _opinion(self, closeness: str, predicted: str, own_class: str, reference: Reference) -> str:
        kernel = self.node("Exp", [closeness])
        votes = self.node("MatMul", [kernel, self.constant(reference.weights)])
        backed = self.picked(votes, predicted, own_class)
        others = self.node("Where", [own_class, self.constant(-FAR), votes])
        return self.node("Sub", [self.reduce("ReduceMax", others, 1, keep=True), backed])

    def margin(self, scores: str, kind: ScoreKind) -> str:
        """The raw score `margin`, (rows, 1)."""
        if kind == "probabilities":
            least = self.constant(TINY_PROBABILITY)
            scores = self.node("Log", [self.node("Max", [scores, least])])
        best, second = f"{PREFIX}best", f"{PREFIX}second"
        top = f"{PREFIX}top"
        self.several("TopK", [scores], [top, f"{top}.index"], _COUNT_AS_INPUT, k=2)
        self.several("Split", [top], [best, second], _SIZES_AS_INPUT, axis=1, split=[1, 1])
        return self.node("Sub", [second, best])

    def several(
        self, kind: str, inputs: list[str], outputs: list[str], since: int, **attributes: Any
    ) -> None:
        """Add a node of several outputs whose last attribute is an input since that opset."""
        if self.opset >= since:
            _, value = attributes.popitem()
            sizes = value if isinstance(value, list) else [value]
            inputs = [*inputs, self.constant(sizes, np.int64)]
        made = helper.make_node(kind, inputs, outputs, name=f"{outputs[0]}.node", **attributes)
        self.nodes.append(made)

    def clip(self, tensor: str, most: str) -> str:
        """Bound values from 0 to `MAX_SCORE`."""
        if self.opset >= _BOUNDS_AS_INPUTS:
            return self.node("Clip", [tensor, self.constant(0.0), most])
        return self.node("Clip", [tensor], min=0.0, max=MAX_SCORE)

    def finish(self, raw: list[str], scales: Scales) -> None:
        """Scale, clip and name the scores, as `screens.scaled_scores` does."""
        joined = self.node("Concat", raw, axis=1)
        centred = self.node("Sub", [joined, self.constant(scales.centre)])
        scaled = self.node("Mul", [centred, self.constant(scales.inverse_spread)])
        most = self.constant(MAX_SCORE)
        clipped = self.clip(scaled, most)
        self.node("Where", [self.node("IsNaN", [scaled]), most, clipped], SCORES)
