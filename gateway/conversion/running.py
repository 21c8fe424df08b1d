"""Runs ONNX models on the owner's machine, to compare what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from gateway.artifacts.model_refusals import REASONS, Refusal, sentence
from gateway.artifacts.model_runs import Deadline, Runs, load
from gateway.artifacts.onnx_border import baked_sizes, border_inputs
from gateway.artifacts.trial import make_values
from gateway.artifacts.trial_search import search
from gateway.conversion.request import Stuck

_SEARCH_SECONDS = 60.0
_FATAL_ONLY = 4


def run(model: bytes | str, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Run a model and return its outputs by name.

    Args:
        model: Its bytes, or the path of a file whose weights are beside it.
        feeds: Arrays by input.

    Raises:
        Stuck: `not_runnable`, with what the runtime said.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    try:
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        taken = {one.name for one in session.get_inputs()}
        taken |= {one.name for one in session.get_overridable_initializers()}
        values = session.run(None, {name: a for name, a in feeds.items() if name in taken})
    except Exception as fault:  # the runtime's own classes share no base
        said = " ".join(str(fault).split())[:300]
        raise Stuck("not_runnable", f"the model does not run on these rows: {said}") from None
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, values, strict=True))


def made_feeds(model: Any, data: bytes) -> dict[str, NDArray[Any]]:
    """Find inputs that a model runs on, as admission does.

    Raises:
        Stuck: `not_runnable`: nothing that was tried runs.
    """
    try:
        borders = border_inputs(model)
        runs = Runs(load(data), borders, Deadline(_SEARCH_SECONDS, _SEARCH_SECONDS))
        found = search(runs, borders, None, None, baked_sizes(model))
    except Refusal as refusal:
        told = sentence(refusal.reason, refusal.part, refusal.found)
        remedy = REASONS[refusal.reason].remedy
        if REASONS[refusal.reason].sample:
            remedy = "say what it runs on: --sample SAMPLE.npz, an array by input"
        raise Stuck(refusal.reason, told, remedy) from None
    values = make_values(found.specs, found.shapes, "small")
    try:
        runs.run(values)
    except Refusal:
        return make_values(found.specs, found.shapes, found.values)
    return values
