"""Output minimisation: give away less of the model when the input is suspect. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABEL_ONLY = "label-only"


def label_only(outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Replace class scores by the one-hot vector of the largest, or one score by 0 or 1.

    Shapes and datatypes stay, so that stock clients go on working; what an attacker follows, the
    margin, is gone.

    Args:
        outputs: Arrays by name; floating arrays of shape `[n, classes]` count as scores, those of
            one column as the probability of one class. Everything else is kept.
    """
    reduced: dict[str, NDArray[Any]] = {}
    for name, array in outputs.items():
        scores = array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 0
        reduced[name] = _one_hot(array) if scores else array
    return reduced


def _one_hot(scores: NDArray[Any]) -> NDArray[Any]:
    if scores.shape[1] == 1:
        return (scores >= 0.5).astype(scores.dtype)
    hot = np.zeros_like(scores)
    hot[np.arange(len(scores)), scores.argmax(axis=1)] = 1
    return hot
