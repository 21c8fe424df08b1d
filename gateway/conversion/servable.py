"""What keeps an ONNX model from being served that a conversion can mend. Pure.

A look at names and versions: admission decides. It saves an upload that would be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import onnx

OLDEST_SERVED: Final = 7
"""Opset from which admission takes a model (`gateway.artifacts.onnx_inspection`)."""
OLDEST_SCREENED: Final = 9
"""Opset from which a screen can be fused into a model (`gateway.screening`)."""
STANDARD: Final = ("", "ai.onnx")
MAP: Final = "ZipMap"


def needs(model: Any, *, screened: bool) -> tuple[str, ...]:
    """Return what is to be mended, in words; empty: nothing that is known.

    Args:
        model: A parsed `ModelProto`; its weights may be elsewhere.
        screened: Whether it is to have a screen, which takes a newer opset.
    """
    oldest = OLDEST_SCREENED if screened else OLDEST_SERVED
    leaving = {output.name for output in model.graph.output}
    found = []
    if any(is_outside(tensor) for tensor in tensors(model)):
        found.append("its weights are in another file")
    if any(node.op_type == MAP and node.output[0] in leaving for node in model.graph.node):
        found.append("its probabilities are maps (`ZipMap`), which no caller can read")
    if 0 < (opset := opset_of(model)) < oldest:
        what = "a screen needs" if screened else "is served"
        found.append(f"its opset {opset} is older than {oldest}, the oldest that {what}")
    if model.functions:
        found.append("it has functions of its own")
    if model.training_info:
        found.append("it holds training graphs")
    return tuple(found)


def opset_of(model: Any) -> int:
    """Return the version of the standard's operators, 0 where none is listed."""
    return max((e.version for e in model.opset_import if e.domain in STANDARD), default=0)


def is_outside(tensor: Any) -> bool:
    """Tell whether a tensor's bytes are in another file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor of a model, wherever it is."""
    for graph in graphs(model.graph):
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t


def graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and those inside its nodes."""
    waiting = [graph]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += _inner(one.node)


def _inner(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs
