"""Makes an ONNX model one that is served, and says what it changed. Pure.

1. Each step keeps what the model computes: `compare` (by the caller) holds it to that.
2. Each step that changed something says so in a sentence; nothing is changed silently.
3. What nobody uses goes: operator sets, weights, nodes, and what exporters note of the machine that
   they ran on (paths of source files), which would reach every partner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import onnx
import onnx.inliner
import onnx.version_converter

from gateway.conversion.request import Stuck
from gateway.conversion.servable import MAP, OLDEST_SCREENED, STANDARD, graphs, opset_of

LIFTED: Final = (21, 17, 13, OLDEST_SCREENED)
"""Opsets that an old model is lifted to: the first that the converter manages."""
_SHOWN: Final = 20
_TYPES: Final = onnx.TensorProto


def tidy(model: Any) -> list[str]:
    """Change a model in place; returns what was changed.

    Raises:
        Stuck: It cannot be made one that is served.
    """
    changes: list[str] = []
    for step in (_inlined, _no_training, _no_maps, _no_dead, _no_imports, _lifted, _no_notes):
        changes += step(model)
    return changes


def _inlined(model: Any) -> Iterator[str]:
    if model.functions:
        count = len(model.functions)
        model.CopyFrom(onnx.inliner.inline_local_functions(model))
        yield f"functions of its own were inlined: {count}"


def _no_training(model: Any) -> Iterator[str]:
    if model.training_info:
        del model.training_info[:]
        yield "training graphs were dropped"


def _no_maps(model: Any) -> Iterator[str]:
    """Let each `ZipMap` give the tensor that it was given, under the same name."""
    for node in model.graph.node:
        if node.op_type != MAP:
            continue
        labels = _labels(node)
        output = next((o for o in model.graph.output if o.name == node.output[0]), None)
        if output is None:
            continue  # nothing but an output can take maps; the node is dropped as a dead one
        shape = [None, len(labels)] if labels else None
        value = onnx.helper.make_tensor_value_info(output.name, _TYPES.FLOAT, shape)
        output.type.CopyFrom(value.type)
        node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]]))
        _import_standard(model)
        order = ", ".join(labels[:_SHOWN]) + (", …" if len(labels) > _SHOWN else "")
        yield f"output `{output.name}` is a tensor, no map (ZipMap off); its columns: {order}"


def _labels(node: Any) -> list[str]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_int64s":
            return [str(label) for label in attribute.ints]
        if attribute.name == "classlabels_strings":
            return [label.decode("utf-8", "replace") for label in attribute.strings]
    return []


def _import_standard(model: Any) -> None:
    if not opset_of(model):
        model.opset_import.append(onnx.helper.make_opsetid("", LIFTED[0]))


def _no_dead(model: Any) -> Iterator[str]:
    """Drop nodes and weights that nothing leads from to an output."""
    graph = model.graph
    nodes, weights = len(graph.node), len(graph.initializer)
    while True:
        used = _used(graph)
        dead = [node for node in graph.node if used.isdisjoint(filter(None, node.output))]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    unused = {tensor.name for tensor in graph.initializer} - used
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unused]:
        graph.initializer.remove(tensor)
    for value in [value for value in graph.input if value.name in unused]:
        graph.input.remove(value)
    if gone := nodes - len(graph.node):
        yield f"nodes that lead to no output were dropped: {gone}"
    if gone := weights - len(graph.initializer):
        yield f"weights that nobody uses were dropped: {gone}"


def _used(graph: Any) -> set[str]:
    """Return every name that a node of any graph takes, or that leaves."""
    used = {output.name for output in graph.output}
    for one in graphs(graph):
        used |= {output.name for output in one.output}
        used |= {name for node in one.node for name in node.input}
    return used


def _no_imports(model: Any) -> Iterator[str]:
    """Drop operator sets that no node is of, and those that are listed twice."""
    domains = {node.domain for graph in graphs(model.graph) for node in graph.node}
    domains = {"" if domain in STANDARD else domain for domain in domains}
    kept: dict[str, int] = {}
    before = len(model.opset_import)
    for entry in model.opset_import:
        domain = "" if entry.domain in STANDARD else entry.domain
        if domain in domains:
            kept[domain] = max(entry.version, kept.get(domain, 0))
    if len(kept) == before or not kept:
        return
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*pair) for pair in kept.items())
    yield f"unused or double entries of opset_import were dropped: {before - len(kept)}"


def _lifted(model: Any) -> Iterator[str]:
    opset = opset_of(model)
    if opset > onnx.defs.onnx_opset_version():
        raise Stuck(
            "opset",
            f"its opset {opset} is newer than what is served",
            f"export it with opset {onnx.defs.onnx_opset_version()} or older",
        )
    if not 0 < opset < OLDEST_SCREENED:
        return
    for target in LIFTED:
        try:
            lifted = onnx.version_converter.convert_version(model, target)
            onnx.checker.check_model(lifted)
        except Exception:  # noqa: S112  (C++ of onnx raises what it likes; the next is tried)
            continue
        # The converter knows nothing of other domains.
        others = [entry for entry in model.opset_import if entry.domain not in STANDARD]
        have = {entry.domain for entry in lifted.opset_import}
        lifted.opset_import.extend(entry for entry in others if entry.domain not in have)
        model.CopyFrom(lifted)
        yield f"opset {opset} was lifted to {target}"
        return
    raise Stuck(
        "opset",
        f"its opset {opset} cannot be lifted",
        "export it again from where it was trained, with opset 13 or later",
    )


def _no_notes(model: Any) -> Iterator[str]:
    """Drop what exporters write beside nodes: source files and stack traces of the owner's."""
    count = 0
    for graph in graphs(model.graph):
        for node in graph.node:
            if node.doc_string or node.metadata_props:
                count += 1
                node.doc_string = ""
                del node.metadata_props[:]
    if count:
        yield f"notes at nodes (source files, stack traces) were dropped: {count}"
