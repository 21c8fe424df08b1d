"""Tensors in the typed fields of `InferTensorContents`. Pure.

Safety argument. Whatever the bytes are, `from_contents` returns an array of exactly the stated
datatype and shape, or raises `MalformedRequest`:
1. The number of values is held to the shape before memory is taken for them.
2. Numbers are read in blocks, so that what is needed beside the array is bounded.
3. A number outside the range of its datatype is refused rather than wrapped.

Source: KServe Open Inference Protocol v2 (gRPC), "Tensor Data": which field holds which datatype.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.grpc.wire import BYTES, VARINT, Value, fields, nested, write_varint
from gateway.inference.errors import MalformedRequest
from gateway.inference.tensors import MAX_BYTES_ELEMENT, dtype_of, element_count

BOOL, INT, INT64, UINT, UINT64, FP32, FP64, TEXTS = range(1, 9)
FIELD_OF: Final[dict[str, int]] = {
    "BOOL": BOOL,
    "INT8": INT,
    "INT16": INT,
    "INT32": INT,
    "INT64": INT64,
    "UINT8": UINT,
    "UINT16": UINT,
    "UINT32": UINT,
    "UINT64": UINT64,
    "FP32": FP32,
    "FP64": FP64,
    "BYTES": TEXTS,
}
MAX_PIECES: Final = 1 << 16
"""Pieces of one tensor's numbers. Every client that we know of packs them into one."""
MAX_TEXTS: Final = 1 << 20
"""Texts of one tensor: a second's work."""
BLOCK: Final = 1 << 20
"""Bytes of numbers that are read at a time."""
MAX_VARINT: Final = 10


def from_contents(datatype: str, shape: list[int], contents: memoryview) -> NDArray[Any]:
    """Read a tensor from the message that holds it.

    Args:
        datatype: OIP name, such as `FP32`.
        shape: Claimed shape.
        contents: An `InferTensorContents`.

    Raises:
        MalformedRequest: When it is not `datatype` values of that shape.
    """
    dtype = dtype_of(datatype)
    count = element_count(shape)
    field = FIELD_OF.get(datatype)
    if field is None:
        raise MalformedRequest("this datatype has no typed contents: use `raw_input_contents`")
    if field == TEXTS:
        return _texts(contents, count).reshape(shape)
    packed = _packed(contents, field)
    if field in (FP32, FP64):
        if len(packed) != count * dtype.itemsize:
            raise MalformedRequest("a tensor's data does not fill its shape")
        return np.frombuffer(packed, dtype.newbyteorder("<")).reshape(shape)
    return _numbers(np.frombuffer(packed, np.uint8), count, dtype).reshape(shape)


def _pieces(contents: memoryview, field: int, limit: int) -> list[tuple[int, Value]]:
    found: list[tuple[int, Value]] = []
    for number, kind, value in fields(contents, limit):
        if number != field:
            raise MalformedRequest("a tensor's data does not fit its datatype")
        found.append((kind, value))
    return found


def _packed(contents: memoryview, field: int) -> bytes | memoryview:
    """Return the numbers as one run; each may also come as a field of its own."""
    pieces = _pieces(contents, field, MAX_PIECES)
    if len(pieces) == 1 and pieces[0][0] == BYTES:
        return nested(pieces[0][1])
    if any((kind == VARINT) != (field not in (FP32, FP64)) for kind, _ in pieces if kind != BYTES):
        raise MalformedRequest("a tensor's data does not fit its datatype")
    return b"".join(write_varint(one) if isinstance(one, int) else one for _, one in pieces)


def _texts(contents: memoryview, count: int) -> NDArray[Any]:
    if count > MAX_TEXTS:
        raise MalformedRequest("so many texts are sent in `raw_input_contents`")
    pieces = _pieces(contents, TEXTS, count)
    if len(pieces) != count:
        raise MalformedRequest("a tensor's data does not fill its shape")
    texts = np.empty(count, dtype=np.object_)
    for index, (_, value) in enumerate(pieces):
        if len(piece := nested(value)) > MAX_BYTES_ELEMENT:
            raise MalformedRequest("a tensor's data does not fill its shape")
        try:
            texts[index] = str(piece, "utf-8")
        except UnicodeDecodeError:
            raise MalformedRequest("a BYTES tensor must hold UTF-8") from None
    return texts


def _numbers(data: NDArray[np.uint8], count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read `count` varints."""
    if np.count_nonzero(data < 0x80) != count or (len(data) and data[-1] > 0x7F):
        raise MalformedRequest("a tensor's data does not fill its shape")
    numbers = np.empty(count, dtype)
    read = done = 0
    while read < len(data):
        block = data[read : read + BLOCK]
        ends = np.flatnonzero(block < 0x80)
        if not len(ends):
            raise MalformedRequest
        values = _fitted(_block(block, ends), dtype)
        numbers[done : done + len(values)] = values
        done += len(values)
        read += int(ends[-1]) + 1
    return numbers


def _block(block: NDArray[np.uint8], ends: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Read the varints of a block that end where `ends` says."""
    if len(ends) == ends[-1] + 1:  # each is one byte
        return block[: len(ends)].astype(np.uint64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if int(sizes.max()) > MAX_VARINT:
        raise MalformedRequest
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(sizes.max())):
        longer = sizes > place
        part = (block[starts[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= part << np.uint64(7 * place)
    return values


def _fitted(values: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give numbers their datatype, if they are in its range."""
    if dtype.kind == "b":
        if values.max() > 1:
            raise MalformedRequest("a tensor's data does not fit its datatype")
        return values.astype(dtype)
    signed = values.view(np.int64) if dtype.kind == "i" else values
    range_ = np.iinfo(dtype)
    if signed.max() > range_.max or signed.min() < range_.min:
        raise MalformedRequest("a tensor's data does not fit its datatype")
    return signed.astype(dtype)
