"""Where a model was trained, as far as its parts remember: rows are made there. Pure."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.conversion import boosters

_MOST_TREES: Final = 50
_MOST_WORDS: Final = 500


def centres(parts: list[Any], width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a middle and a spread a column: a scaler's, or else of the splits of the trees."""
    for part in parts:
        if _fits(part, "data_min_", width) and _fits(part, "data_max_", width):
            least, most = part.data_min_, part.data_max_
            return (least + most) / 2, np.maximum((most - least) / 4, 1e-6)
        if _fits(part, "mean_", width):
            spread = part.scale_ if _fits(part, "scale_", width) else np.ones(width)
            return np.asarray(part.mean_), np.asarray(spread)
    middle, spread = np.zeros(width), np.ones(width)
    splits = _splits(parts, width)
    for column, values in enumerate(splits):
        if values:
            middle[column] = np.mean(values)
            spread[column] = float(np.std(values)) or max(abs(float(middle[column])), 1.0)
    return middle, spread


def words(part: Any) -> list[str]:
    """Return some of the words that a vectoriser knows."""
    known = getattr(part, "vocabulary_", None)
    return list(known)[:_MOST_WORDS] if isinstance(known, dict) else []


def _fits(part: Any, name: str, width: int) -> bool:
    value = getattr(part, name, None)
    return isinstance(value, np.ndarray) and value.shape == (width,)


def _splits(parts: list[Any], width: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in range(width)]
    for part in parts:
        for feature, threshold in boosters.splits(part):
            if feature < width:
                found[feature].append(threshold)
        trees = [part, *np.ravel(np.array(getattr(part, "estimators_", []), dtype=object))]
        for tree in trees[:_MOST_TREES]:
            inner = getattr(tree, "tree_", None)
            if inner is None:
                continue
            for feature, threshold in zip(inner.feature, inner.threshold, strict=True):
                if 0 <= feature < width:
                    found[feature].append(float(threshold))
    return found
