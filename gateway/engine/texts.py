"""Texts as bytes: each element four length bytes (little-endian) and that many bytes. Pure.

Source: Triton's binary tensor data extension of the Open Inference Protocol, datatype BYTES.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_texts(array: NDArray[Any]) -> bytes:
    """Write the elements of an array of texts or bytes in row-major order."""
    parts = [_encoded(value) for value in array.ravel()]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def unpack_texts(data: bytes | memoryview, count: int) -> NDArray[Any]:
    """Read exactly `count` UTF-8 elements, which use up `data`.

    Returns:
        Texts, shape (count,).

    Raises:
        ValueError: The bytes are not that.
    """
    texts = np.empty(count, dtype=np.object_)
    position = 0
    for index in range(count):
        # Slices past the end are short, not errors: the check after them looks at both ends.
        start = position + 4
        position = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or position > len(data):
            raise ValueError("an element ends beyond the data")
        texts[index] = str(data[start:position], "utf-8")
    if position != len(data):
        raise ValueError("the data goes on after the last element")
    return texts


def _encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
