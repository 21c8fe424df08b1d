"""`ModelInferRequest` to request, and answer to `ModelInferResponse`. Pure.

Safety argument. Any body ends as a `GrpcRequest` whose tensors are exactly what they claim, or as
`MalformedRequest`, which repeats nothing of it:
1. Numbers of tensors, outputs, parameters and dimensions are bounded before any is made.
2. Tensors come all raw, one `raw_input_contents` each in their order, or all in typed contents.
3. `sealgate_subject` and the parameters `purpose` and `subject` are taken out here, so that no
   model sees who a row is about.
4. A parameter that would change what is asked is done (classification) or refused (shared memory,
   sequences). Others mean nothing here and are passed over.
5. The names that were decided about are those of the whole message: `names_so_far` reads its
   beginning, and one that names another model later is refused.

Source: KServe Open Inference Protocol v2 (gRPC) "ModelInfer", and Triton's extensions for binary
tensor data and classification.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from gateway.grpc.typed_contents import from_contents
from gateway.grpc.wire import (
    BYTES,
    FIXED64,
    VARINT,
    Value,
    fields,
    nested,
    number,
    text,
    varint,
    write_bytes,
    write_varint,
)
from gateway.inference.bfloat16 import BF16
from gateway.inference.classification import (
    CLASSIFICATION,
    class_count,
    classify,
    takes_long,
)
from gateway.inference.codec import Array, InferRequest
from gateway.inference.errors import MalformedRequest, UnsupportedParameter
from gateway.inference.oip import MAX_TENSORS
from gateway.inference.subjects import MAX_IDENTIFIER, SUBJECT_INPUT, data_subjects, short_text
from gateway.inference.tensors import DTYPES, MAX_RANK, from_binary, to_binary

MODEL_NAME, MODEL_VERSION, ID, PARAMETERS, INPUTS, OUTPUTS, RAW = range(1, 8)
# Of an input or output tensor.
NAME, DATATYPE, SHAPE, TENSOR_PARAMETERS, CONTENTS = range(1, 6)

MAX_PARAMETERS: Final = 64
"""Of a request or a tensor; a dozen are defined."""
MAX_FIELDS: Final = 3 * MAX_TENSORS + MAX_PARAMETERS + 8
"""Inputs, their raw contents, outputs, parameters, names."""
SEQUENCE: Final = frozenset({"sequence_id", "sequence_start", "sequence_end"})
SHARED_MEMORY: Final = "shared_memory"
FINAL_WANTED: Final = "triton_enable_empty_final_response"
FINAL: Final = "triton_final_response"

Names: TypeAlias = "tuple[str, str | None]"
Parameters: TypeAlias = "dict[str, bool | int | float | str]"
NO_CLASSES: Final[Mapping[str, int]] = {}
_DATATYPES: Final = {dtype: name for name, dtype in reversed(DTYPES.items())}


class GrpcRequest(InferRequest, frozen=True, kw_only=True):
    """A request with what its answer depends on.

    Attributes:
        id: The caller's id, given back unchanged.
        final_wanted: Each answer of a stream shall say that it is its request's last.
        classes: How many classes are wanted, by name of the output.
    """

    id: str
    final_wanted: bool
    classes: Mapping[str, int]


@dataclass(slots=True)
class _Message:
    """The fields of a request, nested ones not read."""

    model: str = ""
    version: str = ""
    id: str = ""
    parameters: list[memoryview] = field(default_factory=list)
    inputs: list[memoryview] = field(default_factory=list)
    outputs: list[memoryview] = field(default_factory=list)
    raw: list[memoryview] = field(default_factory=list)


@dataclass(slots=True)
class _Tensor:
    """The fields of an input."""

    name: str = ""
    datatype: str = ""
    shape: list[int] = field(default_factory=list)
    parameters: list[memoryview] = field(default_factory=list)
    contents: list[memoryview] = field(default_factory=list)


class GrpcCodec:
    """`gateway.inference.codec.Codec` for one message.

    Attributes:
        request: What was read, once it was.
    """

    __slots__ = ("names", "request")

    def __init__(self) -> None:
        self.names: Names | None = None
        self.request: GrpcRequest | None = None

    def decode(self, body: bytes) -> InferRequest:
        """See the port."""
        message = _read(memoryview(body))
        if self.names is not None and (message.model, message.version or None) != self.names:
            raise MalformedRequest("the request names two models")  # claim 5
        self.request = _request(message)
        return self.request

    def takes_long(self, outputs: Mapping[str, Array]) -> bool:
        """See the port."""
        classes = NO_CLASSES if self.request is None else self.request.classes
        return takes_long(outputs, classes)

    def render(
        self,
        model: str,
        version: str,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, str],
        datatypes: Mapping[str, str],
    ) -> list[bytes]:
        """See the port. Returns the parts of a `ModelInferResponse`, head first."""
        request = self.request
        assert request is not None, "what was not read is not answered"
        outputs, datatypes = classify(outputs, datatypes, request.classes)
        return respond(model, version, request.id, outputs, parameters, datatypes)


def names_so_far(data: bytes | bytearray, *, whole: bool) -> Names | None:
    """Read the model's name and version from the beginning of a message.

    Every serialiser writes fields in the order of their numbers, so they are the first ones.

    Args:
        data: The message, or what has arrived of it.
        whole: Whether it is all.

    Returns:
        The names; `None` where more of the message is needed.

    Raises:
        MalformedRequest: It is the whole message, and none.
    """
    model = version = ""
    try:
        for found, kind, value in fields(memoryview(bytes(data)), MAX_FIELDS):
            if found == MODEL_NAME and kind == BYTES:
                model = text(value)
            elif found == MODEL_VERSION and kind == BYTES:
                version = text(value)
            elif model and not whole:
                return model, version or None
    except MalformedRequest:
        if whole:
            raise
        return None
    return (model, version or None) if whole else None


def _read(body: memoryview) -> _Message:
    message = _Message()
    lists = {
        PARAMETERS: message.parameters,
        INPUTS: message.inputs,
        OUTPUTS: message.outputs,
        RAW: message.raw,
    }
    for found, _, value in fields(body, MAX_FIELDS):
        if found in lists:
            lists[found].append(nested(value))
        elif found == MODEL_NAME:
            message.model = text(value)
        elif found == MODEL_VERSION:
            message.version = text(value)
        elif found == ID:
            message.id = text(value)
    if len(message.inputs) > MAX_TENSORS or len(message.outputs) > MAX_TENSORS:
        raise MalformedRequest("the request names too many tensors")
    if len(message.id) > MAX_IDENTIFIER:
        raise MalformedRequest("the request id is too long")
    return message


def _request(message: _Message) -> GrpcRequest:
    if message.raw and len(message.raw) != len(message.inputs):
        raise MalformedRequest("send one of `raw_input_contents` for each input, or none")
    parameters = _parameters(message.parameters)
    if any(parameters.get(name) for name in SEQUENCE):
        raise UnsupportedParameter("sequence")
    inputs: dict[str, Array] = {}
    bfloat16: set[str] = set()
    for index, one in enumerate(message.inputs):
        tensor = _tensor(one)
        if tensor.name in inputs:
            raise MalformedRequest("the request names an input twice")
        if tensor.datatype == BF16:
            bfloat16.add(tensor.name)
        inputs[tensor.name] = _array(tensor, message.raw[index] if message.raw else None)
    outputs = [_output(one) for one in message.outputs]
    return GrpcRequest(
        id=message.id,
        inputs=inputs,
        outputs=tuple(name for name, _ in outputs),
        classes={name: classes for name, classes in outputs if classes} if outputs else NO_CLASSES,
        purpose=short_text(parameters, "purpose"),
        subjects=data_subjects(inputs.pop(SUBJECT_INPUT, None), short_text(parameters, "subject")),
        bfloat16=frozenset(bfloat16),
        final_wanted=parameters.get(FINAL_WANTED) is True,
    )


def _tensor(message: memoryview) -> _Tensor:
    tensor = _Tensor()
    for found, kind, value in fields(message, MAX_RANK + MAX_PARAMETERS + 8):
        if found == NAME:
            tensor.name = text(value)
        elif found == DATATYPE:
            tensor.datatype = text(value)
        elif found == SHAPE:
            tensor.shape += _shape(kind, value)
        elif found == TENSOR_PARAMETERS:
            tensor.parameters.append(nested(value))
        elif found == CONTENTS:
            tensor.contents.append(nested(value))
    return tensor


def _shape(kind: int, value: Value) -> list[int]:
    """Read dimensions, packed or one by one; more than an array may have are refused unread."""
    if kind == VARINT:
        return [number(value)]
    data, position = nested(value), 0
    shape: list[int] = []
    while position < len(data):
        if len(shape) == MAX_RANK:
            raise MalformedRequest("a tensor has too many dimensions")
        size, position = varint(data, position)
        shape.append(number(size))
    return shape


def _array(tensor: _Tensor, raw: memoryview | None) -> Array:
    _refuse(_parameters(tensor.parameters))
    if raw is None:
        return from_contents(tensor.datatype, tensor.shape, _joined(tensor.contents))
    if tensor.contents:
        raise MalformedRequest("an input has both raw and typed contents")
    return from_binary(tensor.datatype, tensor.shape, raw)


def _joined(parts: list[memoryview]) -> memoryview:
    """Merge what came in several fields, as the format has it: one after the other."""
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _output(message: memoryview) -> tuple[str, int]:
    """Read the name of an output that is wanted, and of how many classes; 0: as it is."""
    name = ""
    parameters: list[memoryview] = []
    for found, _, value in fields(message, MAX_PARAMETERS + 8):
        if found == 1:
            name = text(value)
        elif found == 2:
            parameters.append(nested(value))
    stated = _parameters(parameters)
    _refuse(stated)
    # What is zero is what the format has where nothing was said.
    wanted = stated.get(CLASSIFICATION)
    return name, class_count(wanted) if wanted else 0


def _refuse(parameters: Parameters) -> None:
    """Refuse what would change the meaning of a tensor: claim 4."""
    if any(name.startswith(SHARED_MEMORY) for name in parameters):
        raise UnsupportedParameter("shared_memory")


def _parameters(entries: list[memoryview]) -> Parameters:
    if not entries:
        return {}
    if len(entries) > MAX_PARAMETERS:
        raise MalformedRequest("the request has too many parameters")
    found: Parameters = {}
    for entry in entries:
        name, value = "", memoryview(b"")
        for field_, _, part in fields(entry, 8):
            if field_ == 1:
                name = text(part)
            elif field_ == 2:
                value = nested(part)
        found[name] = _choice(value)
    return found


def _choice(message: memoryview) -> bool | int | float | str:
    """Read an `InferParameter`: the last of its fields counts, as in every `oneof`."""
    chosen: bool | int | float | str = ""
    for found, kind, value in fields(message, 16):
        if found == 1 and kind == VARINT:
            chosen = bool(value)
        elif found in (2, 5) and kind == VARINT:
            chosen = number(value)
        elif found == 3 and kind == BYTES:
            chosen = text(value)
        elif found == 4 and kind == FIXED64:
            chosen = struct.unpack("<d", nested(value))[0]
        else:
            raise MalformedRequest
    return chosen


def respond(
    model: str,
    version: str,
    request_id: str,
    outputs: Mapping[str, Array],
    parameters: Mapping[str, str | bool],
    datatypes: Mapping[str, str],
) -> list[bytes]:
    """Write a `ModelInferResponse`, outputs in `raw_output_contents`.

    Returns:
        Its parts in order; large outputs are parts of their own.
    """
    head = [write_bytes(1, model.encode()), write_bytes(2, version.encode())]
    if request_id:
        head.append(write_bytes(3, request_id.encode()))
    head += [write_bytes(4, parameter(*item)) for item in parameters.items()]
    raw: list[bytes] = []
    for name, array in outputs.items():
        datatype = datatypes.get(name) or _datatype(array)
        head.append(write_bytes(5, _described(name, datatype, array.shape)))
        content = to_binary(array)
        raw += [write_varint(6 << 3 | BYTES) + write_varint(len(content)), content]
    return [b"".join(head), *raw]


def parameter(name: str, value: str | bool) -> bytes:
    """Write one entry of a map of parameters."""
    if isinstance(value, bool):
        chosen = write_varint(1 << 3 | VARINT) + write_varint(value)
    else:
        chosen = write_bytes(3, value.encode())
    return write_bytes(1, name.encode()) + write_bytes(2, chosen)


def _described(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(map(write_varint, shape))
    return write_bytes(1, name.encode()) + write_bytes(2, datatype.encode()) + write_bytes(3, sizes)


def _datatype(array: Array) -> str:
    return "BYTES" if array.dtype.kind in "OUS" else _DATATYPES[np.dtype(array.dtype)]
