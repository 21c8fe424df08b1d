"""Uploads: sealed while they arrive, never in clear on a disk."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gateway.artifacts.errors import UploadTruncated
from gateway.lifecycle.errors import InvalidRequest
from gateway.web.dependencies import CallDep, UseCasesDep
from gateway.web.shapes import upload_body

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post("", status_code=201)
async def upload(
    request: Request,
    call: CallDep,
    use: UseCasesDep,
    model: Annotated[str, Query(max_length=63)],
    post_quantum: Annotated[bool, Query()] = False,
    content_length: Annotated[int | None, Header(ge=1)] = None,
) -> dict[str, Any]:
    """Seal the body of the request; it becomes part of a version later."""
    if content_length is None:
        raise InvalidRequest("`Content-Length` is required")
    decision = await run_in_threadpool(use.uploads.admit, call, model)
    try:
        payload = await use.sealer.seal_stream(
            call.principal.tenant,
            request.stream(),
            limit=use.max_upload_bytes,
            expected_length=content_length,
            post_quantum=post_quantum,
        )
    except ClientDisconnect as cause:
        raise UploadTruncated from cause
    kept = await run_in_threadpool(use.uploads.keep, call, model, decision, payload)
    return upload_body(kept)
