"""Open Inference Protocol v2 over REST: bytes to request and answer to bytes. Pure.

Safety argument. Any body ends as an `OipRequest` whose tensors are exactly what they claim, or as
`MalformedRequest` or `UnsupportedParameter`, which repeat nothing of it:
1. The JSON part is decoded into typed structs; numbers of tensors and outputs are bounded.
2. Binary tensors take their bytes in order and must use up the body to the last byte.
3. `sealgate_subject` and the parameters `purpose` and `subject` are taken out here, so that no
   model sees who a row is about.
4. An object that gives a name twice is refused: others may have read the other value.
5. A parameter that would change the meaning of the request is done or refused, never passed over.
   Others that are not known are passed over, as the protocol says.
An answer says exactly what the model said: a value that JSON cannot carry goes out in binary form
to a caller who takes that, and to nobody as something else.

Source: KServe Open Inference Protocol v2 "Inference", and Triton's extensions for binary tensor
data and classification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from gateway.inference import bfloat16
from gateway.inference.bfloat16 import BF16
from gateway.inference.classification import (
    CLASSIFICATION,
    class_count,
    classify,
    takes_long,
)
from gateway.inference.codec import Array, InferRequest
from gateway.inference.errors import AnswerNotFinite, MalformedRequest, UnsupportedParameter
from gateway.inference.subjects import MAX_IDENTIFIER, SUBJECT_INPUT, data_subjects, short_text
from gateway.inference.tensors import from_binary, from_json, to_binary
from gateway.strict_json import repeats_a_name

# A model with more inputs or outputs than this is not servable over one JSON header.
MAX_TENSORS: Final = 256
JSON_TYPE: Final = b"application/json"
BINARY_TYPE: Final = b"application/octet-stream"

# Optional members may be null: some clients write what they leave out.
Parameters = dict[str, Any] | None


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = None
    data: msgspec.Raw = msgspec.Raw()


class _Output(msgspec.Struct):
    name: str
    parameters: Parameters = None


class _Body(msgspec.Struct):
    inputs: list[_Input]
    outputs: list[_Output] | None = None
    id: str | None = None
    parameters: Parameters = None

    def members(self) -> int:
        """Count the members of all objects that were read."""
        count = 1 + (self.outputs is not None) + (self.id is not None) + _given(self.parameters)
        for tensor in self.inputs:
            count += 3 + (len(tensor.data) > 0) + _given(tensor.parameters)
        for output in self.outputs or ():
            count += 1 + _given(output.parameters)
        return count


def _given(parameters: Parameters) -> int:
    return 0 if parameters is None else 1 + len(parameters)


_decode = msgspec.json.Decoder(_Body).decode
# What Python's `json.dumps` and others write for what JSON does not have.
_no_number = re.compile(rb"[\[,:]\s*-?(NaN|Infinity)\s*[,\]}]").search
# Triton's extensions of these names are not offered. Their parameters say where the data is, or
# what the model is to remember: passed over, the answer would be to another question.
_SHARED_MEMORY: Final = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
_SEQUENCE: Final = ("sequence_id", "sequence_start", "sequence_end")


class OipRequest(InferRequest, frozen=True, kw_only=True):
    """A request with what its answer depends on.

    Attributes:
        id: The caller's id, given back unchanged; `None` when absent.
        binary: Names of outputs wanted in the binary form; `None` means all of them.
        takes_binary: The caller takes the binary form, of some outputs at least.
        classes: How many classes are wanted, by name of the output.
    """

    id: str | None
    binary: frozenset[str] | None
    takes_binary: bool = False
    classes: Mapping[str, int] = msgspec.field(default_factory=dict)


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

    def takes_long(self, outputs: Mapping[str, Array]) -> bool:
        """See the port."""
        request = self._request
        assert request is not None, "what was not read is not answered"
        return takes_long(outputs, request.classes, request.binary)

    def render(
        self,
        model: str,
        version: str,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, str],
        datatypes: Mapping[str, str],
    ) -> OipBody:
        """See the port."""
        assert self._request is not None, "what was not read is not answered"
        return OipBody(*render(model, version, self._request, outputs, datatypes, parameters))


def parse(body: bytes, header_length: int | None) -> OipRequest:
    """Read the body of an `infer` call.

    Args:
        body: The whole body.
        header_length: `Inference-Header-Content-Length`, or `None` for plain JSON.

    Raises:
        MalformedRequest: For anything that is not a well-formed request.
        UnsupportedParameter: It asks for what is not offered here.
    """
    head, tail = body, memoryview(b"")
    if header_length is not None:
        if not 0 < header_length <= len(body):
            raise MalformedRequest("the inference header length does not fit the body")
        head, tail = body[:header_length], memoryview(body)[header_length:]
    try:
        parsed = _decode(head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        if _no_number(head):
            raise MalformedRequest(
                "JSON has no NaN and no Infinity: send such an input in binary form"
            ) from None
        raise MalformedRequest from None
    # A member has a colon. Where there are no more of them than members, none was given twice.
    if head.count(b":") != parsed.members() and repeats_a_name(head):
        raise MalformedRequest("an object of the request gives a name twice")
    outputs = parsed.outputs or []
    if len(parsed.inputs) > MAX_TENSORS or len(outputs) > MAX_TENSORS:
        raise MalformedRequest("the request names too many tensors")
    _refuse_unsupported(parsed)
    inputs: dict[str, Array] = {}
    for tensor in parsed.inputs:
        if tensor.name in inputs:
            raise MalformedRequest("the request names an input twice")
        inputs[tensor.name], tail = _tensor(tensor, tail)
    if len(tail):
        raise MalformedRequest("the body is longer than its tensors")
    if parsed.id is not None and len(parsed.id) > MAX_IDENTIFIER:
        raise MalformedRequest("the request id is too long")
    by_default = bool((parsed.parameters or {}).get("binary_data_output"))
    binary = _binary_outputs(outputs, by_default)
    return OipRequest(
        id=parsed.id,
        inputs=inputs,
        outputs=tuple(output.name for output in outputs),
        bfloat16=frozenset([tensor.name for tensor in parsed.inputs if tensor.datatype == BF16]),
        binary=binary,
        takes_binary=by_default or bool(binary),
        classes=_classes(outputs),
        purpose=short_text(parsed.parameters, "purpose"),
        subjects=data_subjects(
            inputs.pop(SUBJECT_INPUT, None), short_text(parsed.parameters, "subject")
        ),
    )


def _refuse_unsupported(parsed: _Body) -> None:
    """Refuse parameters that would change the meaning of the request."""
    if parsed.parameters and any(parsed.parameters.get(name) for name in _SEQUENCE):
        raise UnsupportedParameter("sequence")
    for tensors in (parsed.inputs, parsed.outputs or ()):
        for tensor in tensors:
            if tensor.parameters and not tensor.parameters.keys().isdisjoint(_SHARED_MEMORY):
                raise UnsupportedParameter("shared_memory")


def _tensor(tensor: _Input, tail: memoryview) -> tuple[Array, memoryview]:
    """Read one input from its JSON data or from the head of the binary `tail`."""
    size = tensor.parameters.get("binary_data_size") if tensor.parameters else None
    if size is None:
        data = bytes(tensor.data)
        if data in {b"", b"null"}:
            raise MalformedRequest("an input has no data")
        return from_json(tensor.datatype, tensor.shape, data), tail
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(tail):
        raise MalformedRequest("an input's binary size does not fit the body")
    return from_binary(tensor.datatype, tensor.shape, tail[:size]), tail[size:]


def _binary_outputs(outputs: list[_Output], by_default: bool) -> frozenset[str] | None:
    """Work out which outputs are wanted in the binary form (`None`: every one)."""
    if not outputs:
        return None if by_default else frozenset()
    return frozenset(
        output.name
        for output in outputs
        if (output.parameters or {}).get("binary_data", by_default)
    )


def _classes(outputs: list[_Output]) -> dict[str, int]:
    """Read how many classes are wanted of which outputs (classification extension)."""
    wanted: dict[str, int] = {}
    for output in outputs:
        count = output.parameters.get(CLASSIFICATION) if output.parameters else None
        if count is not None:
            wanted[output.name] = class_count(count)
    return wanted


def render(
    model: str,
    version: str,
    request: OipRequest,
    outputs: Mapping[str, Array],
    datatypes: Mapping[str, str],
    parameters: Mapping[str, str] | None = None,
) -> tuple[list[bytes], int | None]:
    """Write the answer.

    Args:
        model: Model name.
        version: Version that answered.
        request: What was asked (its id, and which outputs in which form).
        outputs: Arrays by output name.
        datatypes: The protocol's datatype by output name.
        parameters: What the gateway adds, such as that the answer was degraded.

    Returns:
        The parts of the body, and the length of its JSON head when binary parts follow, or
        `None`.

    Raises:
        AnswerNotFinite: JSON was asked for, and cannot carry a value.
        MalformedRequest: An output that holds no numbers was to be classified.
    """
    outputs, datatypes = classify(outputs, datatypes, request.classes)
    written = _written(model, version, request, outputs, datatypes, parameters, request.binary)
    # orjson writes `null` for what JSON cannot carry; in a name or an id it means nothing.
    if b"null" in written[0][0]:
        beyond = frozenset(name for name in outputs if not _finite(outputs[name], datatypes[name]))
        told = beyond - (request.binary or frozenset())
        if request.binary is not None and told:
            if not request.takes_binary:
                raise AnswerNotFinite(min(told))
            binary = request.binary | told
            return _written(model, version, request, outputs, datatypes, parameters, binary)
    return written


def _written(
    model: str,
    version: str,
    request: OipRequest,
    outputs: Mapping[str, Array],
    datatypes: Mapping[str, str],
    parameters: Mapping[str, str] | None,
    binary: frozenset[str] | None,
) -> tuple[list[bytes], int | None]:
    """Write the answer, with `binary` outputs in the binary form and the others in JSON."""
    described: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, array in outputs.items():
        datatype = datatypes[name]
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary is None or name in binary:
            part = to_binary(array)
            entry["parameters"] = {"binary_data_size": len(part)}
            raw.append(part)
        else:
            entry["data"] = _values(array, datatype)
        described.append(entry)
    head: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if request.id is not None:
        head["id"] = request.id
    if parameters:
        head["parameters"] = parameters
    encoded = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    return [encoded, *raw], len(encoded) if raw else None


def _values(array: Array, datatype: str) -> Any:
    """Flatten in row-major order, in a form that orjson writes."""
    flat = array.ravel()
    if flat.dtype.kind in "OUS":
        return [value.decode() if isinstance(value, bytes) else str(value) for value in flat]
    if datatype == BF16:
        flat = bfloat16.to_float32(flat)
    elif flat.dtype == np.float16:
        flat = flat.astype(np.float32)
    return np.ascontiguousarray(flat)


def _finite(array: Array, datatype: str) -> bool:
    """Tell whether JSON can carry every value."""
    if datatype == BF16:
        return bool(bfloat16.finite(array).all())
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
