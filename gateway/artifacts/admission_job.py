"""The confined part of admission: inspect a model, load it, and find inputs that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.model_refusals import Refusal, named
from gateway.artifacts.model_runs import Deadline, Runs, Shape, load
from gateway.artifacts.onnx_border import (
    Border,
    baked_sizes,
    border_inputs,
    border_outputs,
    takes_missing,
)
from gateway.artifacts.onnx_inspection import inspect, parse
from gateway.artifacts.sample import read_rows, read_sample
from gateway.artifacts.sandbox import job
from gateway.artifacts.trial_search import of_other_sizes, search, untied


def main(
    inputs: dict[str, memoryview], args: dict[str, Any]
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Admit `inputs["model"]`.

    Args:
        inputs: `model`, and of `sample` and `rows` (a calibration set) what there is.
        args: `run_seconds` of one run, `search_seconds` of all.

    Returns:
        A report that has `refused`, or what the model is.
    """
    try:
        return _admit(inputs, float(args["run_seconds"]), float(args["search_seconds"])), {}
    except Refusal as refusal:
        return {"refused": refusal.reason, "part": refusal.part, "found": refusal.found}, {}


def _admit(
    inputs: dict[str, memoryview], run_seconds: float, search_seconds: float
) -> dict[str, Any]:
    data = bytes(inputs["model"])
    model = parse(data)
    inspected = inspect(model)
    taken, given, missing = border_inputs(model), border_outputs(model), takes_missing(model)
    baked = baked_sizes(model)
    del model  # the runtime parses its own copy
    sample = read_sample(inputs["sample"], taken) if "sample" in inputs else None
    rows = read_rows(inputs["rows"], taken) if sample is None and "rows" in inputs else None
    runs = Runs(load(data), taken, Deadline(run_seconds, search_seconds))
    found = search(runs, taken, sample, rows, baked)
    results = zip(found.results, *of_other_sizes(runs, found), strict=True)
    return {
        "inputs": [_plain(spec) for spec in untied(runs, found)],
        "outputs": [_plain(_observed(*pair)) for pair in zip(given, results, strict=True)],
        "opset": inspected.opset,
        "node_count": inspected.nodes,
        "trial": {"shapes": found.shapes, "values": found.values},
        "takes_missing": missing,
    }


def _observed(border: Border, seen: Sequence[Shape | None]) -> TensorSpec:
    """Correct what is declared of an output by what was seen, in one run or several.

    The runtime only warns where a graph declares other sizes than it gives, and exporters do so
    (LightGBM's labels are `[1]` whatever the rows): a size that was not seen in every run, or a
    whole shape of another rank, is open.
    """
    spec, first = border.spec, seen[0]
    if first is None:
        raise Refusal("border_sequence", named("output", spec.name))
    if not border.ranked or any(len(each or ()) != len(spec.shape) for each in seen):
        return TensorSpec(name=spec.name, datatype=spec.datatype, shape=(-1,) * len(first))
    sizes = zip(*(each or () for each in seen), strict=True)
    shape = tuple(
        size if set(actual) == {size} else -1
        for size, actual in zip(spec.shape, sizes, strict=True)
    )
    return TensorSpec(name=spec.name, datatype=spec.datatype, shape=shape, symbols=spec.symbols)


def _plain(spec: TensorSpec) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(spec.shape),
    }
    if spec.symbols:
        plain["symbols"] = list(spec.symbols)
    if spec.optional:
        plain["optional"] = True
    return plain


if __name__ == "__main__":
    job(main)
