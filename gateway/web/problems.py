"""RFC 9457 problem details: the one table from error class to status.

Safety argument. A problem says what is wrong and what to do, never what was sent: `title` and
`detail` come from our classes, and an error that is not ours becomes a bare 500. The stock
validation answer of FastAPI, which echoes the input, is replaced.

Below `/v2` a problem says `detail` once more as `error`, which is where clients of the Open
Inference Protocol look ("Inference Response JSON Error Object"); an extension member is what RFC
9457, section 3.2, leaves room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from gateway.errors import Refusal, SealgateError
from gateway.web import request_ids

Problem: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, raw headers and body, for any ASGI endpoint."""

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "https://sealgate.dev/problems/"

# Stable code → HTTP status. A code that is missing here fails a test, and answers 500.
STATUS: Final[dict[str, int]] = {
    "internal": 500,
    "configuration": 500,
    # the framework's own refusals
    "method_not_allowed": 405,
    "http_error": 400,
    "head_timeout": 408,
    "head_too_large": 431,
    # identity
    "identity": 500,
    "unauthenticated": 401,
    "token_missing": 401,
    "invalid_token": 401,
    "invalid_dpop_proof": 401,
    "use_dpop_nonce": 401,
    "oauth_refusal": 400,
    "signature_refused": 400,
    "key_refused": 400,
    "issuer_unavailable": 503,
    "sign_in_refused": 403,
    "sign_in_later": 429,
    "sign_in_busy": 503,
    "form_refused": 403,
    "passkey_refused": 403,
    "insufficient_user_authentication": 401,
    "registration_refused": 422,
    "unknown_record": 404,
    # policy
    "policy": 500,
    "policy_set_invalid": 422,
    "policy_bundle_refused": 422,
    "policy_epoch_exists": 409,
    # artifacts
    "artifact": 500,
    "age": 422,
    "age_header": 422,
    "age_no_match": 422,
    "age_header_mac": 422,
    "age_payload": 422,
    "age_recipient": 422,
    "age_identity": 422,
    "age_recipients_mixed": 409,
    "key": 500,
    "key_unavailable": 503,
    "key_unwrap": 500,
    "keystore_absent": 500,
    "keystore_present": 500,
    "keystore_unsafe": 500,
    "keystore_corrupt": 500,
    "artifact_store": 503,
    "payload_absent": 404,
    "payload_corrupt": 500,
    "range_outside": 416,
    "upload": 400,
    "upload_too_large": 413,
    "upload_truncated": 400,
    "statement_invalid": 422,
    "sandbox_failed": 422,
    "interrupted": 503,
    "model_refused": 422,
    # screening
    "screening": 500,
    "calibration_refused": 422,
    "profile_invalid": 500,
    "screen_mismatch": 500,
    # inference
    "inference": 500,
    "malformed_request": 400,
    "unsupported_parameter": 400,
    "unsupported_encoding": 415,
    "contract_violation": 422,
    "body_too_large": 413,
    "body_timeout": 408,
    "model_not_found": 404,
    "model_unavailable": 503,
    "output_refused": 403,
    "answer_not_finite": 422,
    "too_many_requests": 429,
    # engines
    "engine": 500,
    "run_failed": 422,
    "run_timeout": 504,
    "engine_failed": 503,
    "engine_busy": 503,
    "model_set_aside": 503,
    "engines_down": 503,
    # batches
    "rows_refused": 422,
    # use cases
    "not_found": 404,
    "forbidden": 403,
    "already_exists": 409,
    "state_conflict": 409,
    "illegal_move": 409,
    "invalid_request": 422,
    "publish_refused": 422,
    "evidence_unavailable": 503,
    "coordinator_unavailable": 503,
    "limit_reached": 429,
    # storage
    "storage": 500,
    "storage_unavailable": 503,
    "value_refused": 422,
    "database_refused": 500,
    "database_too_new": 500,
    # audit
    "audit": 500,
    "audit_unavailable": 503,
    "event_invalid": 500,
    "event_conflict": 409,
    "log_empty": 404,
    "entry_unknown": 404,
    "entry_tampered": 500,
    "log_rolled_back": 500,
    "note_invalid": 500,
    "proof_invalid": 500,
    "subject_invalid": 422,
    "subject_erased": 404,
    "seal_invalid": 500,
    "erasure_incomplete": 503,
    "store_fault": 503,
    "duplicate_event": 500,
}

_CODE: Final = "sealgate.problem"
METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
"""Those that any route of ours may know."""


def problem(
    status: int, code: str, detail: str, scope: Scope, extra: Mapping[str, Any] | None = None
) -> Problem:
    """Build a problem.

    Args:
        status: HTTP status.
        code: Stable code; the problem's `type` is its documentation.
        detail: Public text.
        scope: Of the request: its id is told, and below `/v2` there is an `error` too.
        extra: More members, none of them from the caller.
    """
    note_code(scope, code)
    members: dict[str, Any] = {
        "type": TYPE_PREFIX + code.replace("_", "-"),
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
    }
    if of_inference_protocol(scope["path"]):
        members["error"] = detail
    if request_id := request_ids.request_id_of(scope):
        members["request_id"] = request_id
    body = orjson.dumps({**members, **(extra or {})})
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return status, headers, body


def problem_code_of(scope: Scope) -> str:
    """Return the code of the problem that a request was answered with; empty where it was not."""
    return str(scope.get(_CODE, ""))


def note_code(scope: Scope, code: str) -> None:
    """Let a request count as refused for `code`, where it is told in another shape."""
    scope[_CODE] = code


def of_inference_protocol(path: str) -> bool:
    """Tell whether a path is one of the Open Inference Protocol."""
    return path.startswith("/v2") and path[3:4] in {"", "/"}


def problem_of(error: Exception, scope: Scope) -> Problem:
    """Build the problem of one of our errors; anything else tells nothing.

    Errors of the packages below the gateway carry `code` and a public message too.

    Args:
        error: What was raised.
        scope: Of the request that met it.
    """
    code = getattr(error, "code", None)
    if not isinstance(code, str) or code not in STATUS:
        return problem(500, "internal", SealgateError.message, scope)
    detail = error.public if isinstance(error, SealgateError) else str(error)
    status, headers, body = problem(STATUS[code], code, detail, scope, _extra(error))
    for attribute, header in _HEADERS.items():
        if isinstance(value := getattr(error, attribute, None), str) and value:
            headers.append((header, value.encode("latin-1")))
    return status, headers, body


_HEADERS: Final[dict[str, bytes]] = {
    "receipt": b"sealgate-audit",
    "challenge": b"www-authenticate",
    "nonce": b"dpop-nonce",
    "accept_encoding": b"accept-encoding",
    "content_range": b"content-range",
    "retry_after": b"retry-after",
}
"""Attribute of an error → header that tells it."""


def method_not_allowed(scope: Scope, allowed: Iterable[str]) -> Problem:
    """Build the problem of a path that knows other methods (RFC 9110, section 15.5.6)."""
    code = "method_not_allowed"
    status, headers, body = problem(STATUS[code], code, code.replace("_", " "), scope)
    return status, [*headers, (b"allow", ", ".join(sorted(allowed)).encode())], body


def _extra(error: Exception) -> dict[str, Any]:
    """Members beyond the standard ones; each is ours to tell."""
    extra: dict[str, Any] = {}
    if policy_ids := getattr(error, "policy_ids", ()):
        extra["policy_ids"] = list(policy_ids)
    if isinstance(levels := getattr(error, "acr_values", None), str):
        extra |= {"acr_values": levels, "max_age": getattr(error, "max_age", None)}
    if isinstance(reason := getattr(error, "reason", None), str):
        extra["reason"] = reason
    if isinstance(error, Refusal) and error.field:
        extra |= {"field": error.field, "known": list(error.known)}
        if error.near is not None:
            extra["near"] = list(error.near)
    if problems := getattr(error, "problems", ()):
        extra["problems"] = [{"policy": found.policy, "reason": found.reason} for found in problems]
    return extra


def _response(built: Problem) -> Response:
    status, headers, body = built
    response = Response(body, status)
    response.raw_headers = list(headers)
    return response


def install_problems(app: FastAPI, *ours: type[Exception]) -> None:
    """Answer the errors of `app` as problems.

    Args:
        app: The application.
        *ours: Base classes of our error trees. Of anything else nothing is told.
    """

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = {"fields": sorted({_field(entry) for entry in error.errors()})}
        detail = "the request does not fit its schema"
        return _response(problem(422, "invalid_request", detail, request.scope, fields))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == STATUS["method_not_allowed"]:
            return _response(method_not_allowed(request.scope, _methods(app, request.scope)))
        code = "not_found" if error.status_code == STATUS["not_found"] else "http_error"
        return _response(problem(error.status_code, code, code.replace("_", " "), request.scope))

    async def known(request: Request, error: Exception) -> Response:
        return _response(problem_of(error, request.scope))

    async def unknown(request: Request, error: Exception) -> Response:
        return _response(problem_of(error, request.scope))  # and `Boundary` logs it

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    for base in ours:
        app.add_exception_handler(base, known)
    app.add_exception_handler(Exception, unknown)


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods of all routes of a path: each route knows its own only."""
    asked = [{**scope, "method": method} for method in METHODS]
    return [
        str(one["method"])
        for one in asked
        if any(route.matches(one)[0] is Match.FULL for route in app.routes)
    ]


def _field(entry: Mapping[str, Any]) -> str:
    """Name the schema's own field; a key that the caller made up is not repeated."""
    place = entry["loc"]
    parts = place[:1] if entry["type"] == "extra_forbidden" else place[:2]
    return ".".join(str(part) for part in parts if isinstance(part, str))
