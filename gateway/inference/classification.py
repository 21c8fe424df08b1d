"""The classification extension: the highest values of an output, as texts. Pure.

Whatever a model gives and a caller asks for, an answer has at most `MAX_TEXTS` texts, made of at
most `MAX_VALUES` values.

Source: Triton's classification extension. Ours, where the extension leaves it open: values are
written so that they read back as the same number of the output's datatype; of equal values the one
with the lower index goes first; what is no number comes last; asking for more classes than there
are gives all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.inference.bfloat16 import BF16, to_float32
from gateway.inference.codec import ASIDE_EFFORT, Array, effort, light
from gateway.inference.errors import MalformedRequest

CLASSIFICATION: Final = "classification"
"""The parameter of an output that asks for it."""
MAX_TEXTS: Final = 1 << 15
"""Of one answer: they are made one by one, in some 25 milliseconds."""
MAX_VALUES: Final = 1 << 20
"""Of one answer: a thousand classes of a thousand rows. They are looked through in as long, which
takes some twenty bytes beside each."""
TEXT_EFFORT: Final = 100
"""What one text takes, in bytes of numbers that are written as text (`codec.effort`)."""
FEW: Final = 4
"""Looking for fewer than one in so many values beats putting all of them in order."""


def class_count(value: object) -> int:
    """Read how many classes are wanted.

    Raises:
        MalformedRequest: It is no positive integer.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MalformedRequest("`classification` is the number of classes that are wanted")
    return value


def class_effort(values: Array, count: int) -> int:
    """Tell how long an output takes to be classified, as `codec.effort` does of one as it is."""
    rows = len(values) if values.ndim > 1 else 1
    return values.nbytes + TEXT_EFFORT * min(rows * count, values.size)


def takes_long(
    outputs: Mapping[str, Array],
    wanted: Mapping[str, int],
    binary: Collection[str] | None = None,
) -> bool:
    """Tell whether writing an answer belongs in a thread (`codec.Codec.takes_long`).

    Args:
        outputs: Arrays by name.
        wanted: How many classes, by name of the output.
        binary: Outputs that are copied as they are; `None` for all of them.
    """
    if not wanted and light(outputs):
        return False
    efforts = [
        class_effort(array, wanted[name])
        if name in wanted
        else effort(array, copied=binary is None or name in binary)
        for name, array in outputs.items()
    ]
    return sum(efforts) > ASIDE_EFFORT


def classify(
    outputs: Mapping[str, Array], datatypes: Mapping[str, str], wanted: Mapping[str, int]
) -> tuple[Mapping[str, Array], Mapping[str, str]]:
    """Put texts in the place of the outputs that are wanted as classes.

    Args:
        outputs: Arrays by name.
        datatypes: The protocol's datatype by name.
        wanted: How many classes, by name of the output.

    Returns:
        Outputs and their datatypes.

    Raises:
        MalformedRequest: As `classified`; the bounds are those of all outputs together.
    """
    if not wanted:
        return outputs, datatypes
    asked = {name: count for name, count in wanted.items() if name in outputs}
    if sum(outputs[name].size for name in asked) > MAX_VALUES:
        raise MalformedRequest("there is too much to classify: ask for the output itself")
    told, texts = dict(outputs), 0
    for name, count in asked.items():
        values = to_float32(outputs[name]) if datatypes[name] == BF16 else outputs[name]
        told[name] = classified(values, count, MAX_TEXTS - texts)
        texts += told[name].size
    return told, {**datatypes, **dict.fromkeys(asked, "BYTES")}


def classified(values: NDArray[Any], count: int, most: int = MAX_TEXTS) -> NDArray[np.object_]:
    """Return `VALUE:INDEX` of the highest values.

    Args:
        values: An output: rows of classes, `[n, ...]`, or the classes of one answer, `[n]`.
        count: How many are wanted; positive.
        most: Texts that there may be.

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
    if len(rows) * count > most:
        raise MalformedRequest("ask for fewer classes, or about fewer rows")
    best = _best(rows, count)
    written = np.take_along_axis(rows, best, axis=1).astype(np.str_)
    pairs = zip(written.ravel().tolist(), best.ravel().tolist(), strict=True)
    texts = np.array([f"{value}:{index}" for value, index in pairs], np.object_)
    return texts.reshape(best.shape if values.ndim > 1 else count)


def _best(rows: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Return the indices of the highest values of each row, the highest first."""
    keys = -rows if rows.dtype.kind == "f" else ~rows  # the least first, what is no number last
    if count * FEW >= rows.shape[1]:
        return np.argsort(keys, axis=1, kind="stable")[:, :count]
    found = np.nonzero(_least(keys, count))[1].reshape(len(rows), count)
    order = np.argsort(np.take_along_axis(keys, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _least(keys: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """Mark the `count` least keys of each row; of equal ones the first."""
    last = np.partition(keys, count - 1, axis=1)[:, count - 1 : count]
    less, equal = keys < last, keys == last
    if keys.dtype.kind == "f":
        no_number = np.isnan(last)
        less |= no_number & ~np.isnan(keys)
        equal |= no_number & np.isnan(keys)
    room = count - np.count_nonzero(less, axis=1, keepdims=True)
    marked: NDArray[np.bool_] = less | (equal & (np.cumsum(equal, axis=1) <= room))
    return marked
