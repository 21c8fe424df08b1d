"""RFC 9457 problem details: the one table from error class to status.

Safety argument. A problem says what is wrong and what to do, never what was sent: `title` and
`detail` come from our classes, and an error that is not ours becomes a bare 500. The stock
validation answer of FastAPI, which echoes the input, is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import SealgateError

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "https://sealgate.dev/problems/"

# Stable code → HTTP status. A code that is missing here fails a test, and answers 500.
STATUS: Final[dict[str, int]] = {
    "internal": 500,
    "configuration": 500,
    # serving
    "serving": 500,
    "malformed_request": 400,
    "contract_violation": 422,
    "body_too_large": 413,
    "body_timeout": 408,
    "model_not_found": 404,
    "output_refused": 403,
    "too_many_requests": 429,
    "run_failed": 422,
    "run_timeout": 504,
    # evidence
    "audit_unavailable": 503,
}

RETRY_AFTER: Final[dict[str, str]] = {"audit_unavailable": "1", "too_many_requests": "1"}


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
    if retry := RETRY_AFTER.get(code):
        headers.append((b"retry-after", retry.encode()))
    return status, headers, body


def problem_of(error: Exception) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Build the problem of one of our errors; anything else tells nothing.

    Errors of the packages below the gateway carry `code` and a public message too.
    """
    code = getattr(error, "code", None)
    if not isinstance(code, str) or code not in STATUS:
        return problem(500, "internal", SealgateError.message)
    detail = error.public if isinstance(error, SealgateError) else str(error)
    status, headers, body = problem(STATUS[code], code, detail)
    challenge = getattr(error, "challenge", None)
    if isinstance(challenge, str):
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    return status, headers, body


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
        except Exception as error:
            if scope["type"] != "http":
                raise
            status, headers, body = problem_of(error)
            if status == STATUS["internal"]:
                structlog.get_logger().error("request_failed", fault=type(error).__name__)
            if not started:
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
