"""RFC 9457 problem details: the one table from error class to status.

Safety argument. A problem says what is wrong and what to do, never what was sent: `title` and
`detail` come from our classes, and an error that is not ours becomes a bare 500. The stock
validation answer of FastAPI, which echoes the input, is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.artifacts.errors import Interrupted
from gateway.errors import SealgateError

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "https://sealgate.dev/problems/"

# Stable code → HTTP status. A code that is missing here fails a test, and answers 500.
STATUS: Final[dict[str, int]] = {
    "internal": 500,
    "configuration": 500,
    # the framework's own refusals
    "method_not_allowed": 405,
    "http_error": 400,
    # identity
    "identity": 500,
    "unauthenticated": 401,
    "token_missing": 401,
    "invalid_token": 401,
    "invalid_dpop_proof": 401,
    "oauth_refusal": 400,
    "signature_refused": 400,
    "key_refused": 400,
    "issuer_unavailable": 503,
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
    "contract_violation": 422,
    "body_too_large": 413,
    "body_timeout": 408,
    "model_not_found": 404,
    "model_unavailable": 503,
    "output_refused": 403,
    "too_many_requests": 429,
    # engines
    "engine": 500,
    "run_failed": 422,
    "run_timeout": 504,
    "engine_failed": 503,
    "engine_busy": 503,
    "model_set_aside": 503,
    "engines_down": 503,
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

# Codes of what may be well again in a second.
RETRY_SOON: Final = frozenset(
    {
        "audit_unavailable",
        "engine_busy",
        "engine_failed",
        "engines_down",
        "evidence_unavailable",
        "storage_unavailable",
        "too_many_requests",
    }
)


def problem(
    status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Build a problem as status, raw headers and body, for any ASGI endpoint.

    Args:
        status: HTTP status.
        code: Stable code; the problem's `type` is its documentation.
        detail: Public text.
        extra: More members, none of them from the caller.
    """
    body = orjson.dumps(
        {
            "type": TYPE_PREFIX + code.replace("_", "-"),
            "title": code.replace("_", " "),
            "status": status,
            "detail": detail,
            **(extra or {}),
        }
    )
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if code in RETRY_SOON:
        headers.append((b"retry-after", b"1"))
    return status, headers, body


def problem_of(error: Exception) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Build the problem of one of our errors; anything else tells nothing.

    Errors of the packages below the gateway carry `code` and a public message too.
    """
    code = getattr(error, "code", None)
    if not isinstance(code, str) or code not in STATUS:
        return problem(500, "internal", SealgateError.message)
    detail = error.public if isinstance(error, SealgateError) else str(error)
    status, headers, body = problem(STATUS[code], code, detail, _extra(error))
    if receipt := getattr(error, "receipt", ""):
        headers.append((b"sealgate-audit", receipt.encode()))
    challenge = getattr(error, "challenge", None)
    if isinstance(challenge, str):
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    return status, headers, body


def _extra(error: Exception) -> dict[str, Any]:
    """Members beyond the standard ones; each is ours to tell."""
    extra: dict[str, Any] = {}
    if policy_ids := getattr(error, "policy_ids", ()):
        extra["policy_ids"] = list(policy_ids)
    if isinstance(reason := getattr(error, "reason", None), str):
        extra["reason"] = reason
    if problems := getattr(error, "problems", ()):
        extra["problems"] = [{"policy": found.policy, "reason": found.reason} for found in problems]
    return extra


def _response(built: tuple[int, list[tuple[bytes, bytes]], bytes]) -> Response:
    status, headers, body = built
    response = Response(body, status)
    response.raw_headers = list(headers)
    return response


def install_problems(app: FastAPI, *ours: type[Exception]) -> None:
    """Answer the errors of `app` as problems.

    Args:
        app: The application.
        *ours: Base classes of our error trees. Anything else passes on to `Boundary`.
    """

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = sorted({_field(entry) for entry in error.errors()})
        return _response(
            problem(
                422, "invalid_request", "the request does not fit its schema", {"fields": fields}
            )
        )

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        return _response(problem(error.status_code, code, code.replace("_", " ")))

    async def known(_: Request, error: Exception) -> Response:
        return _response(problem_of(error))

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    for base in ours:
        app.add_exception_handler(base, known)


def _field(entry: Mapping[str, Any]) -> str:
    """Name the schema's own field; a key that the caller made up is not repeated."""
    place = entry["loc"]
    parts = place[:1] if entry["type"] == "extra_forbidden" else place[:2]
    return ".".join(str(part) for part in parts if isinstance(part, str))


class Boundary:
    """The outermost ASGI layer: no exception becomes a traceback, in an answer or in a log.

    A request that the stopping server cancels is answered, too: it was cut off, and nobody is to
    blame. Nobody else cancels a request as a whole.

    Args:
        app: The ASGI application to guard.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; answer a bare 500 when nothing was sent yet."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except (Exception, asyncio.CancelledError) as error:
            if scope["type"] != "http":
                raise
            known = Interrupted() if isinstance(error, asyncio.CancelledError) else error
            status, headers, body = problem_of(known)
            if status == STATUS["internal"]:
                structlog.get_logger().error("request_failed", fault=type(error).__name__)
            if not started:
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
