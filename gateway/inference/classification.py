"""The classification extension: the highest values of an output, as texts. Pure.

Source: Triton's classification extension. Ours, where the extension leaves it open: values are
written so that they read back as the same number of the output's datatype; of equal values the one
with the lower index goes first; what is no number comes last; asking for more classes than there
are gives all of them.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.inference.errors import MalformedRequest

MAX_TEXTS: Final = 1 << 15
"""Of one output: they are made one by one, in some 25 milliseconds."""


def classified(values: NDArray[Any], count: int) -> NDArray[np.object_]:
    """Return `VALUE:INDEX` of the highest values.

    Args:
        values: An output: rows of classes, `[n, ...]`, or the classes of one answer, `[n]`.
        count: How many are wanted; positive.

    Returns:
        Texts of shape `[n, count]`, or `[count]` for one answer.

    Raises:
        MalformedRequest: The output holds no numbers, or more texts are wanted than are made.
    """
    if values.dtype.kind not in "fiu" or values.ndim == 0:
        raise MalformedRequest("only an output of numbers can be classified")
    classes = math.prod(values.shape[1:]) if values.ndim > 1 else len(values)
    rows = values.reshape(len(values) if values.ndim > 1 else 1, classes)
    count = min(count, classes)
    if len(rows) * count > MAX_TEXTS:
        raise MalformedRequest("ask for fewer classes, or about fewer rows")
    best = _order(rows)[:, :count]
    written = np.take_along_axis(rows, best, axis=1).astype(np.str_)
    pairs = zip(written.ravel().tolist(), best.ravel().tolist(), strict=True)
    texts = np.array([f"{value}:{index}" for value, index in pairs], np.object_)
    return texts.reshape(best.shape if values.ndim > 1 else count)


def _order(rows: NDArray[Any]) -> NDArray[np.intp]:
    """Return the indices of each row, from the highest value to the lowest, then no numbers."""
    # Backwards and turned round, a stable sort has the lower index first among equals.
    classes = rows.shape[1]
    turned = rows[:, ::-1]
    order: NDArray[np.intp] = classes - 1 - np.argsort(turned, axis=1, kind="stable")[:, ::-1]
    if rows.dtype.kind == "f":
        unknown = np.take_along_axis(np.isnan(rows), order, axis=1)
        order = np.take_along_axis(order, np.argsort(unknown, axis=1, kind="stable"), axis=1)
    return order
