"""How tensors lie in the memory that a gateway and an engine share. Pure.

One region: a page range for the head of a request, one for the head of its answer, then the bytes
of the tensors that go in, then those that come out. A head says for each tensor its place in the
list of names that both sides know, its datatype, shape and length; the bytes follow one another in
that order, each at the next multiple of `ALIGNMENT`.

Safety argument. The engine is hostile once its model is; what it writes is data of its own choice:
1. A head is copied before it is looked at, so that it cannot change between check and use.
2. `read_answer` returns shapes and places that lie inside the region and agree with each other and
   with the datatype, or raises `WireError`; sizes are multiplied out in Python's integers.
3. The region is a memory file sealed against shrinking: touching it cannot raise SIGBUS.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

HEAD_BYTES: Final = 1 << 16
"""256 tensors of 16 dimensions fit."""
ANSWER_AT: Final = HEAD_BYTES
DATA_AT: Final = 2 * HEAD_BYTES
ALIGNMENT: Final = 64
MAX_TENSORS: Final = 256
MAX_RANK: Final = 16

DATATYPES: Final = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES", "BF16",
)  # fmt: skip
"""Datatypes of the Open Inference Protocol; an index into this list travels."""
NUMPY: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "BYTES": np.dtype(np.object_),
    "BF16": np.dtype(np.uint16),  # NumPy has no such type: its bits
}
TEXT: Final = DATATYPES.index("BYTES")

# What an engine says of a request, or of its start.
READY, DONE, FAILED, TOO_LARGE, NO_MEMORY, NOT_LOADED = range(6)
_STATES: Final = 6

_FRONT: Final = struct.Struct("<II")
_TENSOR: Final = struct.Struct("<HHIQ")


class WireError(Exception):
    """A head is not one that the other side may write."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One tensor in the region.

    Attributes:
        index: Its place in the list of names that both sides know.
        datatype: Index into `DATATYPES`.
        shape: Sizes.
        start, length: Bytes of the region.
    """

    index: int
    datatype: int
    shape: tuple[int, ...]
    start: int
    length: int


def aligned(position: int) -> int:
    """Return the next place where a tensor may begin."""
    return (position + ALIGNMENT - 1) & -ALIGNMENT


def place(
    tensors: Sequence[tuple[int, int, tuple[int, ...], int]], start: int, end: int
) -> tuple[Placed, ...] | None:
    """Give each (index, datatype, shape, length) its bytes between `start` and `end`.

    Returns:
        The places in order, or `None` when they do not fit.
    """
    placed = []
    position = start
    for index, datatype, shape, length in tensors:
        position = aligned(position)
        placed.append(Placed(index, datatype, shape, position, length))
        position += length
    return tuple(placed) if position <= end else None


def encode_head(state: int, tensors: Sequence[Placed]) -> bytes:
    """Write a head.

    Raises:
        WireError: There are too many tensors or dimensions.
    """
    if len(tensors) > MAX_TENSORS or any(len(tensor.shape) > MAX_RANK for tensor in tensors):
        raise WireError("too many tensors or dimensions")
    parts = [_FRONT.pack(state, len(tensors))]
    for tensor in tensors:
        rank = len(tensor.shape)
        parts.append(_TENSOR.pack(tensor.index, tensor.datatype, rank, tensor.length))
        parts.append(struct.pack(f"<{rank}q", *tensor.shape))
    return b"".join(parts)


def decode_head(head: bytes, start: int, end: int) -> tuple[int, tuple[Placed, ...]]:
    """Read a head whose tensors lie between `start` and `end`.

    Args:
        head: A copy of the head's bytes; what follows the last tensor is ignored.
        start: Where tensors may begin.
        end: Where the last one ends at most.

    Returns:
        The state, and the tensors in order.

    Raises:
        WireError: See claim 2.
    """
    try:
        state, count = _FRONT.unpack_from(head)
        if state >= _STATES or count > MAX_TENSORS:
            raise WireError("state or count")
        position = _FRONT.size
        found = []
        for _ in range(count):
            index, datatype, rank, length = _TENSOR.unpack_from(head, position)
            position += _TENSOR.size
            if rank > MAX_RANK:
                raise WireError("rank")
            shape = struct.unpack_from(f"<{rank}q", head, position)
            position += 8 * rank
            found.append((index, datatype, shape, length))
    except struct.error:
        raise WireError("short") from None
    for _, datatype, shape, length in found:
        _check(datatype, shape, length)
    placed = place(found, start, end)
    if placed is None:
        raise WireError("beyond the region")
    return state, placed


def _check(datatype: int, shape: tuple[int, ...], length: int) -> None:
    if datatype >= len(DATATYPES) or any(size < 0 for size in shape):
        raise WireError("datatype or shape")
    count = math.prod(shape)
    if datatype == TEXT:
        if 4 * count > length:
            raise WireError("length")
    elif count * NUMPY[DATATYPES[datatype]].itemsize != length:
        raise WireError("length")
