"""Uploads: sealed while they arrive, never in clear on a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gateway.artifacts.errors import UploadTooLarge, UploadTruncated
from gateway.errors import InvalidRequest
from gateway.inference.errors import BodyTimeout
from gateway.registry.uploads import ROWS, Arrived, Uploads
from gateway.web.answers import Page, UploadAnswer
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import BYTES, says
from gateway.web.shapes import page_body, upload_body
from gateway.web.strict_route import StrictRoute

LEAST_RATE: Final = 16 << 10
"""Bytes a second of an upload: less than any line that carries a model."""

router = APIRouter(route_class=StrictRoute, prefix="/v1/uploads", tags=["uploads"])


@dataclass(frozen=True, slots=True)
class Receiving:
    """What these routes need.

    Attributes:
        stage: `gateway.artifacts.upload.Sealer.stage_stream`.
        patience: Seconds that a sender may be behind `LEAST_RATE`.
    """

    uploads: Uploads
    stage: Callable[..., Awaitable[Arrived]]
    patience: float
    max_bytes: int
    max_rows_bytes: int


Use = Annotated[Receiving, provided(Receiving)]
SENT: Final = {
    "requestBody": {
        "description": "An ONNX model, an archive of rows or another file; sealed as it arrives.",
        "required": True,
        "content": {"application/octet-stream": {"schema": dict(BYTES)}},
    }
}


@router.post(
    "",
    status_code=201,
    operation_id="create_upload",
    openapi_extra={
        **says(
            "model_not_found",
            "limit_reached",
            "upload_too_large",
            "upload_truncated",
            "upload",
            "body_timeout",
            "artifact_store",
            decides="uploadArtifact",
            on="Model",
            also=("infer", "ModelVersion"),
        ),
        **SENT,
    },
)
async def upload(
    request: Request,
    call: CallDep,
    use: Use,
    model: Annotated[str, Query(max_length=127)],
    version: Annotated[str | None, Query(max_length=32)] = None,
    kind: Annotated[Literal["artifact", "rows"], Query(alias="use")] = "artifact",
    post_quantum: Annotated[bool, Query()] = False,
    content_length: Annotated[int | None, Header(ge=1, include_in_schema=False)] = None,
) -> UploadAnswer:
    """Seal the body of the request; it becomes part of a version, or rows of a batch, later."""
    if content_length is None:
        raise InvalidRequest("`Content-Length` is required")
    rows = kind == ROWS
    most = min(use.max_bytes, use.max_rows_bytes) if rows else use.max_bytes
    if content_length > most:
        raise UploadTooLarge
    admit = partial(use.uploads.admit, rows=rows, version=version)
    place = await run_in_threadpool(admit, call, model, content_length)
    try:
        arrived = await use.stage(
            call.principal.tenant,
            paced(request.stream(), use.patience),
            limit=most,
            expected_length=content_length,
            role=ROWS if rows else "upload",
            post_quantum=post_quantum,
        )
        keep = partial(use.uploads.keep, version=version)
        kept = await run_in_threadpool(keep, call, model, arrived)
    except ClientDisconnect as cause:
        raise UploadTruncated from cause
    finally:
        use.uploads.leave(place)
    return upload_body(kept)


async def paced(pieces: AsyncIterator[bytes], patience: float) -> AsyncIterator[bytes]:
    """Hand pieces on for as long as they come at `LEAST_RATE`, but for `patience` seconds.

    What is done with a piece is not held against its sender.

    Raises:
        BodyTimeout: The sender is too slow, or has stopped.
    """
    loop, allowance = asyncio.get_running_loop(), patience
    coming = aiter(pieces)
    while True:
        asked = loop.time()
        try:
            async with asyncio.timeout_at(asked + allowance):
                piece = await anext(coming, None)
        except TimeoutError:
            raise BodyTimeout from None
        if piece is None:
            return
        allowance -= loop.time() - asked
        allowance = min(patience, max(allowance, 0.0) + len(piece) / LEAST_RATE)
        yield piece


@router.get("")
def list_uploads(call: CallDep, use: Use, page: PageDep) -> Page[UploadAnswer]:
    """List uploads of your own that wait to be published."""
    found, following = use.uploads.waiting(call, after=page.after, limit=page.limit)
    return page_body([upload_body(one) for one in found], following)


@router.delete(
    "/{upload_id}",
    status_code=204,
    openapi_extra=says("state_conflict"),
)
def discard_upload(upload_id: str, call: CallDep, use: Use) -> Response:
    """Discard an upload of your own that was not published."""
    use.uploads.give_up(call, upload_id)
    return Response(status_code=204)
