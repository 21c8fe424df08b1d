"""How an operation may end badly: codes of problems, gathered into responses by status.

The texts are those of the error classes. What has no class of ours has no place here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from audit.errors import AuditError
from gateway.errors import SealgateError
from gateway.web.problems import PROBLEM_TYPE, STATUS, TYPE_PREFIX
from policies.errors import PolicyError

UNAUTHENTICATED: Final = ("token_missing", "invalid_token", "invalid_dpop_proof", "use_dpop_nonce")
UNAVAILABLE: Final = (
    "audit_unavailable",
    "evidence_unavailable",
    "interrupted",
    "issuer_unavailable",
    "storage_unavailable",
    "store_fault",
)
SHARED: Final[Mapping[str, Collection[str]]] = {
    "Unauthenticated": UNAUTHENTICATED,
    "Forbidden": ("forbidden",),
    "Absent": ("not_found",),
    "Slow": ("body_timeout",),
    "Large": ("body_too_large",),
    "Invalid": ("invalid_request",),
    "Fault": ("internal",),
    "Unavailable": UNAVAILABLE,
}
"""Responses that many operations have in common."""
REQUEST_ID: Final = {"$ref": "#/components/headers/Sealgate-Request-Id"}
HEADERS: Final[Mapping[str, Any]] = {
    "Sealgate-Request-Id": {
        "description": "Names the request in the log and in `sealgate why`.",
        "schema": {"type": "string"},
        "example": "0197f3c2-5d1e-7c3a-9b1f-2f6f0f6f8a11",
    },
    "Sealgate-Audit": {
        "description": "Where the record is in the audit log: `origin/index`.",
        "schema": {"type": "string"},
        "example": "gateway.example/clinic/15",
    },
    "WWW-Authenticate": {
        "description": "How to authenticate, and where that is described (RFC 9728).",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Whole seconds after which it may be well again, where that is known.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "example": "1",
    },
    "Accept-Encoding": {
        "description": "Codings of a body that are read.",
        "schema": {"type": "string"},
        "example": "gzip, deflate",
    },
}
_OF_STATUS: Final = {
    401: "WWW-Authenticate",
    415: "Accept-Encoding",
    429: "Retry-After",
    503: "Retry-After",
}
PROBLEM: Final[Mapping[str, Any]] = {
    "title": "Problem",
    "type": "object",
    "description": "What went wrong (RFC 9457). Nothing that was sent is repeated.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Ends in a heading of the page of problems."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "For people."},
        "request_id": {"type": "string", "description": "To be named when asking for help."},
        "error": {"type": "string", "description": "Below `/v2`: `detail` once more."},
        "reason": {"type": "string", "description": "A stable word, of some problems."},
        "policy_ids": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The policies that decided.",
        },
        "problems": {
            "type": "array",
            "description": "What is wrong with a policy set.",
            "items": {
                "type": "object",
                "required": ["policy", "reason"],
                "properties": {"policy": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
        "fields": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Which fields do not fit the schema.",
        },
        "field": {"type": "string", "description": "Where a word stands that does not exist."},
        "known": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Words that exist there: all of them, unless there is a `near`.",
        },
        "near": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Words that may have been meant.",
        },
    },
}


def messages() -> dict[str, str]:
    """Return the public text of each code."""
    return {code: kind.message for code, kind in _classes().items()}


def _classes() -> dict[str, type[Any]]:
    bases = (SealgateError, AuditError, PolicyError)
    classes = [kind for base in bases for kind in (base, *_below(base))]
    found: dict[str, type[Any]] = {}
    for kind in classes:
        if "code" in vars(kind):
            found.setdefault(kind.code, kind)
    return found


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def responses(codes: Collection[str], path: str) -> dict[str, Any]:
    """Return the responses of an operation that may end with these codes, by status."""
    grouped: dict[int, set[str]] = {}
    for code in codes:
        grouped.setdefault(STATUS[code], set()).add(code)
    return {str(status): _response(status, found, path) for status, found in grouped.items()}


def _response(status: int, codes: Collection[str], path: str) -> dict[str, Any]:
    for name, shared in SHARED.items():
        if set(codes) == set(shared):
            return {"$ref": f"#/components/responses/{name}"}
    return response(status, codes, path)


def response(status: int, codes: Collection[str], path: str = "") -> dict[str, Any]:
    """Return one response with an example for each code."""
    told = messages()
    headers = {"Sealgate-Request-Id": REQUEST_ID}
    if (name := _OF_STATUS.get(status)) or _waits(codes):
        name = name or "Retry-After"
        headers[name] = {"$ref": f"#/components/headers/{name}"}
    return {
        "description": "\n".join(f"- `{_heading(code)}`: {told[code]}" for code in sorted(codes)),
        "headers": headers,
        "content": {
            PROBLEM_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    _heading(code): {"value": _example(status, code, told[code], path)}
                    for code in sorted(codes)
                },
            }
        },
    }


def _waits(codes: Collection[str]) -> bool:
    """Whether another try may help with one of these; errors of policies know no such thing."""
    known = _classes()
    return any(getattr(known[code], "retry_after", "") for code in codes)


def shared_responses() -> dict[str, Any]:
    """Return the responses of `SHARED`, for the document's components."""
    return {name: response(STATUS[min(codes)], codes) for name, codes in SHARED.items()}


def _heading(code: str) -> str:
    return code.replace("_", "-")


def _example(status: int, code: str, detail: str, path: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": TYPE_PREFIX + _heading(code),
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "request_id": HEADERS["Sealgate-Request-Id"]["example"],
    }
    return {**told, "error": detail} if path.startswith("/v2") else told
