"""The messages of `inference.GRPCInferenceService` beside those of inference: names and numbers.

Source: KServe Open Inference Protocol v2 (gRPC), and Triton's extensions for the model repository,
model configuration and statistics; the health service is gRPC's own. The names are those of the
same answers in JSON, so that one description of a model serves both.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.grpc.wire import BYTES, VARINT, Field, Table, fields, number, text
from gateway.inference.errors import MalformedRequest

MAX_FIELDS: Final = 64
"""Of a request that asks about a server or a model; two or three are defined."""
MAX_TEXT: Final = 1024
"""Of a name in such a request; ours are shorter."""

LIVE: Final[Table] = {"live": Field(1, "integer")}
READY: Final[Table] = {"ready": Field(1, "integer")}
SERVER: Final[Table] = {
    "name": Field(1, "text"),
    "version": Field(2, "text"),
    "extensions": Field(3, "text", repeated=True),
}
_TENSOR: Final[Table] = {
    "name": Field(1, "text"),
    "datatype": Field(2, "text"),
    "shape": Field(3, "integer", repeated=True),
}
MODEL: Final[Table] = {
    "name": Field(1, "text"),
    "versions": Field(2, "text", repeated=True),
    "platform": Field(3, "text"),
    "inputs": Field(4, _TENSOR, repeated=True),
    "outputs": Field(5, _TENSOR, repeated=True),
}
_INDEXED: Final[Table] = {
    "name": Field(1, "text"),
    "version": Field(2, "text"),
    "state": Field(3, "text"),
    "reason": Field(4, "text"),
}
INDEX: Final[Table] = {"models": Field(1, _INDEXED, repeated=True)}
_CONFIGURED_INPUT: Final[Table] = {
    "name": Field(1, "text"),
    "data_type": Field(2, "integer"),
    "dims": Field(4, "integer", repeated=True),
    "optional": Field(8, "integer"),
}
_CONFIGURED_OUTPUT: Final[Table] = {
    "name": Field(1, "text"),
    "data_type": Field(2, "integer"),
    "dims": Field(3, "integer", repeated=True),
}
_CONFIGURATION: Final[Table] = {
    "name": Field(1, "text"),
    "platform": Field(2, "text"),
    "max_batch_size": Field(4, "integer"),
    "input": Field(5, _CONFIGURED_INPUT, repeated=True),
    "output": Field(6, _CONFIGURED_OUTPUT, repeated=True),
    "backend": Field(17, "text"),
}
CONFIGURATION: Final[Table] = {"config": Field(1, _CONFIGURATION)}
_DURATION: Final[Table] = {"count": Field(1, "integer"), "ns": Field(2, "integer")}
_INFERENCES: Final[Table] = {
    "success": Field(1, _DURATION),
    "fail": Field(2, _DURATION),
    "queue": Field(3, _DURATION),
    "compute_input": Field(4, _DURATION),
    "compute_infer": Field(5, _DURATION),
    "compute_output": Field(6, _DURATION),
    "cache_hit": Field(7, _DURATION),
    "cache_miss": Field(8, _DURATION),
}
_BATCHES: Final[Table] = {
    "batch_size": Field(1, "integer"),
    "compute_input": Field(2, _DURATION),
    "compute_infer": Field(3, _DURATION),
    "compute_output": Field(4, _DURATION),
}
_COUNTED: Final[Table] = {
    "name": Field(1, "text"),
    "version": Field(2, "text"),
    "last_inference": Field(3, "integer"),
    "inference_count": Field(4, "integer"),
    "execution_count": Field(5, "integer"),
    "inference_stats": Field(6, _INFERENCES),
    "batch_stats": Field(7, _BATCHES, repeated=True),
}
STATISTICS: Final[Table] = {"model_stats": Field(1, _COUNTED, repeated=True)}
HEALTH: Final[Table] = {"status": Field(1, "integer")}
SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(1, 4)

DATA_TYPES: Final = (
    *("TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64"),
    *("TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32"),
    *("TYPE_FP64", "TYPE_STRING", "TYPE_BF16"),
)
"""Names of the data types of a configuration, each at its number."""


def numbered(configuration: dict[str, Any]) -> dict[str, Any]:
    """Give the data types of a configuration their numbers."""

    def one(tensor: dict[str, Any]) -> dict[str, Any]:
        return {**tensor, "data_type": DATA_TYPES.index(tensor["data_type"])}

    return {
        **configuration,
        "input": [one(tensor) for tensor in configuration["input"]],
        "output": [one(tensor) for tensor in configuration["output"]],
    }


def named(message: bytes) -> tuple[str, str | None]:
    """Read name and version of a request about a model: its fields 1 and 2.

    Raises:
        MalformedRequest: It is none.
    """
    found = {1: "", 2: ""}
    for field, kind, value in fields(memoryview(message), MAX_FIELDS):
        if field in found:
            if kind != BYTES or len(text(value)) > MAX_TEXT:
                raise MalformedRequest
            found[field] = text(value)
    return found[1], found[2] or None


def only_ready(message: bytes) -> bool:
    """Read whether a request for the repository index wants ready models only: its field 2."""
    wanted = False
    for field, kind, value in fields(memoryview(message), MAX_FIELDS):
        if field == 2:
            if kind != VARINT:
                raise MalformedRequest
            wanted = bool(number(value))
    return wanted
