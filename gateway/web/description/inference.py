"""The two operations that ask a model: plain ASGI answers them (`gateway.web.infer`), no route."""

from __future__ import annotations

from typing import Any, Final

from gateway.inference.oip import BINARY_TYPE, JSON_TYPE
from gateway.web.infer import UNVERSIONED, VERSIONED
from gateway.web.operations import BYTES, DECISION, REFUSALS

OWN: Final = (
    "malformed_request",
    "unsupported_parameter",
    "forbidden",
    "output_refused",
    "model_not_found",
    "unsupported_encoding",
    "contract_violation",
    "answer_not_finite",
    "run_failed",
    "too_many_requests",
    "run_timeout",
    "model_unavailable",
    "model_set_aside",
    "engine_failed",
    "engine_busy",
    "engines_down",
    "audit_unavailable",
    "evidence_unavailable",
    "interrupted",
    "issuer_unavailable",
    "storage_unavailable",
)
"""Problems of these operations, besides those of every guarded one."""
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_ANY: Final = {"type": ["object", "null"]}
_TENSOR: Final = {
    "name": {"type": "string"},
    "shape": {
        "type": "array",
        "items": {"type": "integer"},
        "description": "The first dimension counts rows.",
    },
    "datatype": {
        "type": "string",
        "description": "One of the protocol's: `FP32`, `INT64`, `BOOL`, `BYTES`, …",
    },
    "parameters": {
        **_ANY,
        "description": "`binary_data_size`: bytes of the tensor, where they follow the JSON.",
    },
    "data": {
        "type": "array",
        "description": "The values, row by row, flat or nested; left out in binary form.",
    },
}
_WANTED: Final = {
    "name": {"type": "string"},
    "parameters": {
        **_ANY,
        "description": "`binary_data`: in binary form. `classification`: the k highest.",
    },
}


def _schema(kind: str, *required: str, **properties: Any) -> dict[str, Any]:
    return {
        "title": kind,
        "type": "object",
        "required": list(required),
        "properties": properties,
    }


def _list_of(name: str, what: str, *kinds: str) -> dict[str, Any]:
    items = {"$ref": f"#/components/schemas/{name}"}
    return {"type": ["array", *kinds], "items": items, "description": what}


SCHEMAS: Final[dict[str, Any]] = {
    "InferInput": _schema("InferInput", "name", "shape", "datatype", **_TENSOR),
    "InferOutput": _schema("InferOutput", "name", **_WANTED),
    "InferRequest": _schema(
        "InferRequest",
        "inputs",
        inputs=_list_of(
            "InferInput",
            "The tensors. A `BYTES` input `sealgate_subject` names a data subject for each row; the"
            " gateway takes it out before the model sees the request.",
        ),
        outputs=_list_of("InferOutput", "Which outputs are wanted; by default all.", "null"),
        id={"type": ["string", "null"], "description": "Given back unchanged."},
        parameters={
            **_ANY,
            "description": "`purpose` of the request, `subject` whom it is about, and"
            " `binary_data_output` for all outputs in binary form.",
        },
    ),
    "InferTensor": _schema("InferTensor", "name", "datatype", "shape", **_TENSOR),
    "InferAnswer": _schema(
        "InferAnswer",
        "model_name",
        "model_version",
        "outputs",
        model_name={"type": "string"},
        model_version={"type": "string"},
        id={"type": "string"},
        parameters={"type": "object", "description": "What the screen said, where it did."},
        outputs=_list_of("InferTensor", "The outputs."),
    ),
}
"""As `gateway.inference.oip` reads and writes them."""
DESCRIPTION: Final = """\
Ask a model; {which} answers.

In JSON, or with tensors in binary form: then the body begins with the JSON, whose length in bytes
is in `Inference-Header-Content-Length`, and the tensors follow in order, little-endian.
`Content-Encoding` may be `gzip` or `deflate`. The answer leaves when its record is durable, and
names it in `Sealgate-Audit`. A model that is registered as personal wants the data subject.
"""


def paths() -> dict[str, Any]:
    """Return both operations, as routes would declare them."""
    return {
        UNVERSIONED: {"post": _operation("infer", "its release", "model")},
        VERSIONED: {
            "post": _operation("infer_version", "the version that is named", "model", "version")
        },
    }


def _operation(name: str, which: str, *path: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["Open Inference Protocol"],
        "description": DESCRIPTION.format(which=which),
        "parameters": [
            *(
                {"in": "path", "name": one, "required": True, "schema": {"type": "string"}}
                for one in path
            ),
            {
                "in": "header",
                "name": HEADER_LENGTH,
                "description": "Bytes of the JSON, where tensors follow it in binary form.",
                "schema": {"type": "integer", "minimum": 1},
            },
        ],
        "requestBody": {"required": True, "content": _content("InferRequest", _REQUEST)},
        "responses": {
            "200": {
                "description": "The outputs.",
                "content": _content("InferAnswer", _ANSWER),
                "headers": {
                    "Sealgate-Audit": {"$ref": "#/components/headers/Sealgate-Audit"},
                    HEADER_LENGTH: {
                        "description": "Bytes of the JSON, where tensors follow it.",
                        "schema": {"type": "string"},
                    },
                },
            }
        },
        DECISION: [{"action": "infer", "on": "ModelVersion"}],
        REFUSALS: OWN,
    }


def _content(schema: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        JSON_TYPE.decode(): {
            "schema": {"$ref": f"#/components/schemas/{schema}"},
            "example": example,
        },
        BINARY_TYPE.decode(): {"schema": dict(BYTES)},
    }


_REQUEST: Final = {
    "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [5.1, 3.5]}],
    "parameters": {"purpose": "care"},
}
_ANSWER: Final = {
    "model_name": "digits",
    "model_version": "1",
    "outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [6]}],
}
