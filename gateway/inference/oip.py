"""Open Inference Protocol v2 over REST: bytes to request and answer to bytes. Pure.

Safety argument. Any body ends as an `OipRequest` whose tensors are exactly what they claim, or as
`MalformedRequest`, which repeats nothing of it:
1. The JSON part is decoded into typed structs; numbers of tensors and outputs are bounded.
2. Binary tensors take their bytes in order and must use up the body to the last byte.
3. `sealgate_subject` and the parameters `purpose` and `subject` are taken out here, so that no
   model sees who a row is about.

Source: KServe Open Inference Protocol v2 "Inference", and Triton's binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from gateway.inference.codec import Array, InferRequest
from gateway.inference.errors import MalformedRequest
from gateway.inference.tensors import datatype_of, from_binary, from_json, to_binary

# A model with more inputs or outputs than this is not servable over one JSON header.
MAX_TENSORS: Final = 256
# Identifiers longer than this are documents, not names.
MAX_IDENTIFIER: Final = 512
SUBJECT_INPUT: Final = "sealgate_subject"
JSON_TYPE: Final = b"application/json"
BINARY_TYPE: Final = b"application/octet-stream"

Parameters = dict[str, bool | int | float | str | None]


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.Raw()


class _Output(msgspec.Struct):
    name: str
    parameters: Parameters = {}


class _Body(msgspec.Struct):
    inputs: list[_Input]
    outputs: list[_Output] = []
    id: str | None = None
    parameters: Parameters = {}


_decode = msgspec.json.Decoder(_Body).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class OipRequest(InferRequest):
    """A request with what its answer depends on.

    Attributes:
        id: The caller's id, given back unchanged; `None` when absent.
        binary: Names of outputs wanted in the binary form; `None` means all of them.
    """

    id: str | None
    binary: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class OipBody:
    """An answer: parts of the body, and the length of its JSON head when binary parts follow."""

    parts: list[bytes]
    header_length: int | None


class OipCodec:
    """`gateway.inference.codec.Codec` for one REST call.

    Args:
        header_length: `Inference-Header-Content-Length`, or `None` for plain JSON.
    """

    __slots__ = ("_header_length", "_request")

    def __init__(self, header_length: int | None) -> None:
        self._header_length = header_length
        self._request: OipRequest | None = None

    def decode(self, body: bytes) -> InferRequest:
        """See the port."""
        self._request = parse(body, self._header_length)
        return self._request

    def render(
        self,
        model: str,
        version: str,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, str],
    ) -> OipBody:
        """See the port."""
        assert self._request is not None, "what was not read is not answered"
        return OipBody(*render(model, version, self._request, outputs, parameters))


def parse(body: bytes, header_length: int | None) -> OipRequest:
    """Read the body of an `infer` call.

    Args:
        body: The whole body.
        header_length: `Inference-Header-Content-Length`, or `None` for plain JSON.

    Raises:
        MalformedRequest: For anything that is not a well-formed request.
    """
    head, tail = body, memoryview(b"")
    if header_length is not None:
        if not 0 < header_length <= len(body):
            raise MalformedRequest("the inference header length does not fit the body")
        head, tail = body[:header_length], memoryview(body)[header_length:]
    try:
        parsed = _decode(head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise MalformedRequest from None
    if len(parsed.inputs) > MAX_TENSORS or len(parsed.outputs) > MAX_TENSORS:
        raise MalformedRequest("the request names too many tensors")
    inputs: dict[str, Array] = {}
    for tensor in parsed.inputs:
        if tensor.name in inputs:
            raise MalformedRequest("the request names an input twice")
        inputs[tensor.name], tail = _tensor(tensor, tail)
    if len(tail):
        raise MalformedRequest("the body is longer than its tensors")
    if parsed.id is not None and len(parsed.id) > MAX_IDENTIFIER:
        raise MalformedRequest("the request id is too long")
    return OipRequest(
        id=parsed.id,
        inputs=inputs,
        outputs=tuple(output.name for output in parsed.outputs),
        binary=_binary_outputs(parsed),
        purpose=_text(parsed.parameters, "purpose"),
        subjects=_subjects(inputs.pop(SUBJECT_INPUT, None), _text(parsed.parameters, "subject")),
    )


def _tensor(tensor: _Input, tail: memoryview) -> tuple[Array, memoryview]:
    """Read one input from its JSON data or from the head of the binary `tail`."""
    size = tensor.parameters.get("binary_data_size") if tensor.parameters else None
    if size is None:
        if not bytes(tensor.data):
            raise MalformedRequest("an input has no data")
        return from_json(tensor.datatype, tensor.shape, bytes(tensor.data)), tail
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(tail):
        raise MalformedRequest("an input's binary size does not fit the body")
    return from_binary(tensor.datatype, tensor.shape, tail[:size]), tail[size:]


def _binary_outputs(parsed: _Body) -> frozenset[str] | None:
    """Work out which outputs are wanted in the binary form (`None`: every one)."""
    default = parsed.parameters.get("binary_data_output", False)
    if not parsed.outputs:
        return None if default else frozenset()
    return frozenset(
        output.name for output in parsed.outputs if output.parameters.get("binary_data", default)
    )


def _text(parameters: Parameters, name: str) -> str | None:
    value = parameters.get(name) if parameters else None
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_IDENTIFIER:
        raise MalformedRequest("a parameter of the request must be a short text")
    return value


def _subjects(column: Array | None, whole: str | None) -> tuple[str, ...]:
    """Join the two ways to name data subjects; giving both is a contradiction."""
    if column is None:
        return () if whole is None else (whole,)
    if whole is not None or column.dtype.kind != "O":
        raise MalformedRequest("name the data subject once: for the request, or one for each row")
    names = tuple(str(name) for name in column.ravel())
    if not all(0 < len(name) <= MAX_IDENTIFIER for name in names):
        raise MalformedRequest("a parameter of the request must be a short text")
    return names


def render(
    model: str,
    version: str,
    request: OipRequest,
    outputs: Mapping[str, Array],
    parameters: Mapping[str, str] | None = None,
) -> tuple[list[bytes], int | None]:
    """Write the answer.

    Args:
        model: Model name.
        version: Version that answered.
        request: What was asked (its id, and which outputs in which form).
        outputs: Arrays by output name.
        parameters: What the gateway adds, such as that the answer was degraded.

    Returns:
        The parts of the body, and the length of its JSON head when binary parts follow, or
        `None`.
    """
    described: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, array in outputs.items():
        entry: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(array),
            "shape": list(array.shape),
        }
        if request.binary is None or name in request.binary:
            part = to_binary(array)
            entry["parameters"] = {"binary_data_size": len(part)}
            raw.append(part)
        else:
            entry["data"] = _values(array)
        described.append(entry)
    head: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if request.id is not None:
        head["id"] = request.id
    if parameters:
        head["parameters"] = parameters
    encoded = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    return [encoded, *raw], len(encoded) if raw else None


def _values(array: Array) -> Any:
    """Flatten in row-major order, in a form that orjson writes."""
    flat = array.ravel()
    if flat.dtype.kind in "OUS":
        return [value.decode() if isinstance(value, bytes) else str(value) for value in flat]
    if flat.dtype == np.float16:
        flat = flat.astype(np.float32)
    return np.ascontiguousarray(flat)
