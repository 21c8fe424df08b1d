"""Requests and answers of the Open Inference Protocol as a caller makes and reads them. Pure.

Tensors travel in binary form, so every value arrives as it is, NaN too. What comes back is read
within its own lengths: an answer that does not fit itself raises `AnswerMalformed`, nothing else.

Source: KServe Open Inference Protocol v2, and its binary data extension.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.client.errors import ClientFault

HEADER_LENGTH: Final = "inference-header-content-length"
BYTES: Final = "BYTES"
BF16: Final = "BF16"
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
    BF16: np.dtype(np.float32),
    BYTES: np.dtype(np.object_),
}
"""Datatype → what holds its values here; NumPy has no BF16, and FP32 holds all of them."""

Array: TypeAlias = NDArray[Any]


class AnswerMalformed(ClientFault):
    """The gateway's answer is none of the protocol."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array and the datatype that it travels as."""

    name: str
    datatype: str
    values: Array


@dataclass(frozen=True, slots=True)
class Request:
    """A body and the headers that it needs."""

    body: bytes
    headers: Mapping[str, str]


def request_of(tensors: Iterable[Tensor], parameters: Mapping[str, Any]) -> Request:
    """Write a request; every output is asked for in binary form."""
    inputs, chunks = [], []
    for tensor in tensors:
        chunk = _bytes_of(tensor)
        chunks.append(chunk)
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.values.shape),
                "parameters": {"binary_data_size": len(chunk)},
            }
        )
    told = {**parameters, "binary_data_output": True}
    header = json.dumps({"inputs": inputs, "parameters": told}).encode()
    headers = {HEADER_LENGTH: str(len(header)), "content-type": "application/octet-stream"}
    return Request(b"".join((header, *chunks)), headers)


def answer_of(content: bytes, header_length: str | None) -> tuple[dict[str, Any], list[Tensor]]:
    """Read an answer.

    Args:
        content: The body.
        header_length: Of its header `Inference-Header-Content-Length`, or None.

    Returns:
        The answer's own members, and its outputs.

    Raises:
        AnswerMalformed: It does not fit itself.
    """
    try:
        length = len(content) if header_length is None else int(header_length)
        if not 0 <= length <= len(content):
            raise ValueError
        told = json.loads(content[:length])
        outputs, at = [], length
        for output in told.pop("outputs"):
            size = (output.get("parameters") or {}).get("binary_data_size")
            shape = [int(size) for size in output["shape"]]
            raw = None if size is None else content[at : at + size]
            outputs.append(_tensor(output, shape, raw))
            at += size or 0
        if at != len(content) or not isinstance(told, dict):
            raise ValueError
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as cause:
        raise AnswerMalformed(
            "the answer is not one of the Open Inference Protocol",
            "check that `url` of the profile is the gateway's address",
        ) from cause
    return told, outputs


def _tensor(output: Mapping[str, Any], shape: list[int], raw: bytes | None) -> Tensor:
    datatype = output["datatype"]
    dtype = DTYPES[datatype]
    if raw is None:
        values = np.array(output["data"], dtype=dtype)
    elif datatype == BYTES:
        values = _texts(raw)
    elif datatype == BF16:
        values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(raw, dtype.newbyteorder("<"))
    if any(size < 0 for size in shape) or math.prod(shape) != values.size:
        raise ValueError
    return Tensor(str(output["name"]), datatype, values.reshape(shape))


def _bytes_of(tensor: Tensor) -> bytes:
    if tensor.datatype == BYTES:
        parts = [_encoded(value) for value in tensor.values.ravel()]
        return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    dtype = DTYPES[tensor.datatype]
    values = np.ascontiguousarray(tensor.values, dtype.newbyteorder("<"))
    if tensor.datatype == BF16:
        bits = values.view("<u4").astype(np.uint64)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, ties to even
        quiet = (bits >> 16) | 0x40  # what is no number stays none
        return np.where(np.isnan(values), quiet, rounded).astype("<u2").tobytes()
    return values.tobytes()


def _encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _texts(raw: bytes) -> Array:
    found: list[object] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        part = raw[at + 4 : at + 4 + size]
        if len(part) != size:
            raise ValueError
        try:
            found.append(part.decode())
        except UnicodeDecodeError:
            found.append(part)
        at += 4 + size
    values = np.empty(len(found), np.object_)
    values[:] = found
    return values
