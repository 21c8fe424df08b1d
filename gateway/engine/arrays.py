"""Arrays of the bytes that an engine gave."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.engine import wire
from gateway.engine.texts import unpack_texts

Array: TypeAlias = NDArray[Any]


def bytes_of(kind: int, shape: tuple[int, ...]) -> int:
    """Return the length of a tensor of numbers."""
    count = 1
    for size in shape:
        count *= size
    return count * wire.NUMPY[wire.DATATYPES[kind]].itemsize


def array_of(tensor: wire.Placed, data: bytes | memoryview, offset: int) -> Array:
    """Return one output, read-only.

    Args:
        tensor: What it is.
        data: A copy of the bytes of all outputs.
        offset: Where its own begin in it.

    Raises:
        ValueError, OverflowError, MemoryError: It is not what the engine said, or too large.
    """
    datatype = wire.DATATYPES[tensor.datatype]
    if tensor.datatype == wire.TEXT:
        count = int(np.prod(tensor.shape, dtype=np.int64))
        texts = unpack_texts(data[offset : offset + tensor.length], count)
        return texts.reshape(tensor.shape)
    if datatype == "BOOL":  # a byte that is neither 0 nor 1 would be no truth value of NumPy's
        truths: Array = np.ndarray(tensor.shape, np.uint8, data, offset) != 0
        return truths
    return np.ndarray(tensor.shape, wire.NUMPY[datatype], data, offset)
