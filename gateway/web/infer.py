"""The ASGI door of `POST /v2/models/{model}[/versions/{version}]/infer`.

A thin skin over `Pipeline.infer`: it bounds the body in bytes and time, shapes the answer, and
notices a caller who hangs up. It is plain ASGI because a framework's route would cost a third of
the request (`docs/performance.md`).
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.identity.authenticate import Credentials
from gateway.inference.body_budget import BodyBudget
from gateway.inference.oip import BINARY_TYPE, JSON_TYPE, OipBody, OipCodec
from gateway.inference.pipeline import InferAnswer, InferCall, Pipeline
from gateway.web.body_reader import BodyReader
from gateway.web.client_certificates import thumbprint_of
from gateway.web.hang_ups import HangUps
from gateway.web.problems import STATUS, method_not_allowed, problem_of
from gateway.web.request_ids import request_id_of
from gateway.web.tracing import name_route, trace_of

PREFIX: Final = ["", "v2", "models"]
UNVERSIONED: Final = "/v2/models/{model}/infer"
VERSIONED: Final = "/v2/models/{model}/versions/{version}/infer"
# A request that takes longer is watched for the end of its connection.
WATCH_SECONDS: Final = 0.1


def infer_target(path: str) -> tuple[str, str | None] | None:
    """Return model and version when `path`, percent-decoded, is an inference path, else `None`."""
    parts = path.split("/")
    if parts[:3] != PREFIX or parts[-1] != "infer":
        return None
    if len(parts) == 5:
        return parts[3], None
    if len(parts) == 7 and parts[4] == "versions":
        return parts[3], parts[5]
    return None


class InferEndpoint:
    """Answers inference requests.

    Args:
        pipeline: The way of a request.
        max_body_bytes: Bound of the body.
        body_timeout: Seconds that a body may take.
        budget: What all bodies share.
        watch_after: Seconds after which a request is watched for the end of its connection.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        max_body_bytes: int,
        body_timeout: float,
        budget: BodyBudget,
        watch_after: float = WATCH_SECONDS,
    ) -> None:
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._budget = budget
        self._hang_ups = HangUps(watch_after)

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, target: tuple[str, str | None]
    ) -> None:
        """Answer one POST to an inference path."""
        call, reader = self._call(scope, receive, target)
        watch = self._hang_ups.begin(receive, reader)
        try:
            status, headers, parts = _success(await self._pipeline.infer(call))
        except asyncio.CancelledError:
            if not watch.gone:
                raise
            return  # it is recorded, and there is nobody to answer
        except Exception as error:
            status, headers, body = problem_of(error, scope)
            if status == STATUS["internal"]:
                structlog.get_logger().error("request_failed", fault=type(error).__name__)
            parts = [body]
        finally:
            self._hang_ups.end(watch)
            reader.release()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": parts[-1]})

    def _call(
        self, scope: Scope, receive: Receive, target: tuple[str, str | None]
    ) -> tuple[InferCall[OipBody], BodyReader]:
        header_length = declared = None
        codings: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"inference-header-content-length":
                header_length = _number(value)
            elif name == b"content-length":
                declared = _number(value)
            elif name == b"content-encoding":
                codings.append(value)
        reader = BodyReader(
            receive,
            declared,
            self._max_body_bytes,
            self._body_timeout,
            self._budget,
            b",".join(codings),
        )
        model, version = target
        path = scope["raw_path"].decode("ascii")
        call = InferCall(
            credentials=Credentials(
                scope["headers"], scope["method"], path, certificate=thumbprint_of(scope)
            ),
            model=model,
            version=version,
            codec=OipCodec(header_length),
            read=reader,
            request_id=request_id_of(scope),
            trace=trace_of(scope),
        )
        return call, reader


def _number(value: bytes) -> int:
    """Read a decimal header; what is not one becomes 0, which no bound accepts as a length."""
    return int(value) if value.isdigit() and len(value) < 16 else 0


def _success(
    answer: InferAnswer[OipBody],
) -> tuple[int, list[tuple[bytes, bytes]], list[bytes]]:
    body = answer.rendered
    headers = [
        (b"content-type", JSON_TYPE if body.header_length is None else BINARY_TYPE),
        (b"content-length", str(sum(map(len, body.parts))).encode()),
        (b"sealgate-audit", str(answer.receipt).encode()),
        (b"cache-control", b"no-store"),
    ]
    if body.header_length is not None:
        headers.append((b"inference-header-content-length", str(body.header_length).encode()))
    return 200, headers, body.parts


class PublicApp:
    """The public door: inference goes straight to its endpoint, the rest to the framework.

    Args:
        infer: The hot path.
        control: Everything else.
    """

    def __init__(self, infer: InferEndpoint, control: ASGIApp) -> None:
        self._infer = infer
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one connection event."""
        target = infer_target(scope["path"]) if scope["type"] == "http" else None
        if target is None:
            await self._control(scope, receive, send)
        elif scope["method"] == "POST":
            name_route(scope, UNVERSIONED if target[1] is None else VERSIONED)
            await self._infer(scope, receive, send, target)
        else:
            status, headers, body = method_not_allowed(scope, ["POST"])
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
