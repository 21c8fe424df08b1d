"""Uploads: sealed while they arrive, never in clear on a disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gateway.artifacts.errors import UploadTooLarge, UploadTruncated
from gateway.errors import InvalidRequest
from gateway.registry.uploads import Arrived, Uploads
from gateway.web.dependencies import CallDep, provided
from gateway.web.shapes import upload_body

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@dataclass(frozen=True, slots=True)
class Receiving:
    """What these routes need; `stage` is `gateway.artifacts.upload.Sealer.stage_stream`."""

    uploads: Uploads
    stage: Callable[..., Awaitable[Arrived]]
    max_bytes: int


Use = Annotated[Receiving, provided(Receiving)]


@router.post("", status_code=201)
async def upload(
    request: Request,
    call: CallDep,
    use: Use,
    model: Annotated[str, Query(max_length=63)],
    post_quantum: Annotated[bool, Query()] = False,
    content_length: Annotated[int | None, Header(ge=1)] = None,
) -> dict[str, Any]:
    """Seal the body of the request; it becomes part of a version later."""
    if content_length is None:
        raise InvalidRequest("`Content-Length` is required")
    if content_length > use.max_bytes:
        raise UploadTooLarge
    place = await run_in_threadpool(use.uploads.admit, call, model, content_length)
    try:
        arrived = await use.stage(
            call.principal.tenant,
            request.stream(),
            limit=use.max_bytes,
            expected_length=content_length,
            post_quantum=post_quantum,
        )
        kept = await run_in_threadpool(use.uploads.keep, call, model, arrived)
    except ClientDisconnect as cause:
        raise UploadTruncated from cause
    finally:
        use.uploads.leave(place)
    return upload_body(kept)


@router.delete("/{upload_id}", status_code=204)
def discard_upload(upload_id: str, call: CallDep, use: Use) -> Response:
    """Discard an upload of your own that was not published."""
    use.uploads.give_up(call, upload_id)
    return Response(status_code=204)
