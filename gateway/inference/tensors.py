"""Tensors of the Open Inference Protocol v2 as NumPy arrays, both ways. Pure.

Safety argument. Whatever the bytes are, `from_json`, `from_binary` return an array of exactly the
stated datatype and shape, or raise `MalformedRequest`:
1. The claimed shape is multiplied out in Python integers and bounded before memory is taken.
2. JSON values are decoded by a typed decoder: a string, a boolean or null never becomes a number.
3. Data with more lists or values than its shape needs is refused before it is decoded.
4. The number of values equals the product of the shape; a number outside the datatype's range is
   refused: an integer does not wrap, and a float does not become infinite.

BF16 has no NumPy type: its bits are held as `uint16` (`gateway.inference.bfloat16`), so an array
does not say which of the two it is, and the datatype travels beside it.

Source: KServe Open Inference Protocol v2, "Tensor Data Types", and its binary data extension.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.inference.bfloat16 import BF16, from_float64
from gateway.inference.errors import MalformedRequest

# More elements than this cannot be served from one request of the largest allowed body.
MAX_ELEMENTS: Final = 1 << 28
# Up to so many numbers are made into an array without NumPy's conversion of Python objects.
FEW: Final = 256
# Deeper than any layout in use (batch, time, channel, height, width, …).
MAX_RANK: Final = 8
# A data subject's identifier or a word of text, not a document.
MAX_BYTES_ELEMENT: Final = 1 << 20

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
    BF16: np.dtype(np.uint16),
}
NAMES: Final[dict[np.dtype[Any], str]] = {
    dtype: name for name, dtype in DTYPES.items() if name != BF16
}

_floats = msgspec.json.Decoder(list[float]).decode
_integers = msgspec.json.Decoder(list[int]).decode
_booleans = msgspec.json.Decoder(list[bool]).decode
_texts = msgspec.json.Decoder(list[str]).decode
_nested = msgspec.json.Decoder(list[Any]).decode
_FLAT: Final[dict[str, tuple[Any, type]]] = {
    "f": (_floats, float),
    "i": (_integers, int),
    "u": (_integers, int),
    "b": (_booleans, bool),
    "O": (_texts, str),
}


def element_count(shape: list[int]) -> int:
    """Multiply a claimed shape out.

    Raises:
        MalformedRequest: For a negative size, too many dimensions or too many elements.
    """
    if len(shape) > MAX_RANK:
        raise MalformedRequest("a tensor has too many dimensions")
    count = 1
    for size in shape:
        if size < 0:
            raise MalformedRequest("a tensor's shape has a negative size")
        count *= size
    if count > MAX_ELEMENTS:
        raise MalformedRequest("a tensor claims too many elements")
    return count


def dtype_of(datatype: str) -> np.dtype[Any]:
    """Return the NumPy type of an OIP datatype name, or raise `MalformedRequest`."""
    try:
        return DTYPES[datatype]
    except KeyError:
        raise MalformedRequest("a tensor has an unknown datatype") from None


def from_json(datatype: str, shape: list[int], data: bytes) -> NDArray[Any]:
    """Read a tensor's JSON `data`, flat or nested, in row-major order.

    Args:
        datatype: OIP name, such as `FP32`.
        shape: Claimed shape.
        data: The raw JSON text of the `data` member.

    Raises:
        MalformedRequest: When it is not `datatype` values of that shape.
    """
    dtype = dtype_of(datatype)
    count = element_count(shape)
    decode, kind = _FLAT["f" if datatype == BF16 else dtype.kind]
    if kind is not str:
        _bound_work(shape, count, data)
    try:
        values = decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        values = _flatten(data, kind, count)
    if len(values) != count:
        raise MalformedRequest("a tensor's data does not fill its shape")
    try:
        if datatype == "FP32" and count <= FEW:  # a third of the time, rounded in the same way
            return np.frombuffer(struct.pack(f"<{count}f", *values), dtype).reshape(shape)
        with np.errstate(over="raise"):  # JSON has no infinity: none may come of a large number
            if datatype == BF16:
                return from_float64(np.array(values, np.float64)).reshape(shape)
            return np.array(values, dtype=dtype).reshape(shape)
    except (ArithmeticError, ValueError, TypeError, struct.error):
        raise MalformedRequest("a tensor's data does not fit its datatype") from None


def _bound_work(shape: list[int], count: int, data: bytes) -> None:
    """Refuse data with more lists or values than its shape needs, before either is made."""
    lists = rows = 1
    for size in shape[:-1]:
        rows *= size
        lists += rows
    if data.count(b"[") > lists or data.count(b",") > count + lists:
        raise MalformedRequest("a tensor's data does not fill its shape")


def _flatten(data: bytes, kind: type, count: int) -> list[Any]:
    """Flatten nested JSON lists, holding every leaf to `kind`."""
    try:
        level = _nested(data)
        for _ in range(MAX_RANK):
            if not any(isinstance(item, list) for item in level):
                break
            level = [leaf for item in level for leaf in item]
        flat = msgspec.convert(level, list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, RecursionError, TypeError, UnicodeDecodeError):
        raise MalformedRequest("a tensor's data does not fit its datatype") from None
    if len(flat) != count:
        raise MalformedRequest("a tensor's data does not fill its shape")
    return flat


def from_binary(datatype: str, shape: list[int], data: memoryview) -> NDArray[Any]:
    """Read a tensor of the binary extension: little-endian values, row-major.

    Raises:
        MalformedRequest: When the bytes do not fill the shape exactly.
    """
    dtype = dtype_of(datatype)
    count = element_count(shape)
    if dtype.kind == "O":
        return _texts_from_binary(count, data).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise MalformedRequest("a tensor's data does not fill its shape")
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise MalformedRequest("a tensor's data does not fit its datatype")
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape)


def _texts_from_binary(count: int, data: memoryview) -> NDArray[Any]:
    """Read elements of four length bytes (little-endian) and that many bytes of UTF-8."""
    if count * 4 > len(data):
        raise MalformedRequest("a tensor's data does not fill its shape")
    texts = np.empty(count, dtype=np.object_)
    position = 0
    for index in range(count):
        # Slices past the end are short, not errors: the check after them looks at both ends.
        start = position + 4
        size = int.from_bytes(data[position:start], "little")
        position = start + size
        if start > len(data) or position > len(data) or size > MAX_BYTES_ELEMENT:
            raise MalformedRequest("a tensor's data does not fill its shape")
        try:
            texts[index] = str(data[start:position], "utf-8")
        except UnicodeDecodeError:
            raise MalformedRequest("a BYTES tensor must hold UTF-8") from None
    if position != len(data):
        raise MalformedRequest("a tensor's data does not fill its shape")
    return texts


def to_binary(array: NDArray[Any]) -> bytes:
    """Render an array for the binary extension (the inverse of `from_binary`)."""
    if array.dtype.kind in "OUS":
        parts = [_encoded(value) for value in array.ravel()]
        return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def datatype_of(array: NDArray[Any]) -> str:
    """Name the datatype that an array has by itself; one of BF16 looks like UINT16."""
    return "BYTES" if array.dtype.kind in "OUS" else NAMES[array.dtype]
