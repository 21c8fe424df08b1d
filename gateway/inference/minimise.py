"""Output minimisation: give away less of the model when the input is suspect. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.inference.bfloat16 import BF16, from_exact, to_float32
from gateway.screening.verdict import Verdict

LABEL_ONLY = "label-only"


def label_only(
    outputs: Mapping[str, NDArray[Any]], datatypes: Mapping[str, str]
) -> dict[str, NDArray[Any]]:
    """Replace class scores by the one-hot vector of the largest, or one score by 0 or 1.

    Shapes and datatypes stay, so that stock clients go on working; what an attacker follows, the
    margin, is gone.

    Args:
        outputs: Arrays by name; floating arrays of shape `[n, classes]` count as scores, those of
            one column as the probability of one class. Everything else is kept.
        datatypes: The protocol's datatype by name: an array of BF16 looks like one of integers.
    """
    reduced: dict[str, NDArray[Any]] = {}
    for name, array in outputs.items():
        if datatypes[name] == BF16:
            reduced[name] = from_exact(_reduced(to_float32(array)))
        else:
            reduced[name] = _reduced(array)
    return reduced


def _reduced(array: NDArray[Any]) -> NDArray[Any]:
    scores = array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 0
    return _one_hot(array) if scores else array


def _one_hot(scores: NDArray[Any]) -> NDArray[Any]:
    if scores.shape[1] == 1:
        return (scores >= 0.5).astype(scores.dtype)
    hot = np.zeros_like(scores)
    hot[np.arange(len(scores)), scores.argmax(axis=1)] = 1
    return hot


def minimised(
    outputs: dict[str, NDArray[Any]], datatypes: Mapping[str, str], verdict: Verdict
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Give away less when the input is suspect, and say so."""
    if verdict.outcome != "degrade":
        return outputs, {}
    return label_only(outputs, datatypes), {"sealgate_degraded": LABEL_ONLY}
