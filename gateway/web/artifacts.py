"""Delivery of artifacts: the immutable payload, by ranges, and a header for one recipient key.

Header and payload together are an ordinary age file. The payload's ETag is its digest, so a client
that was cut off goes on with `Range` and `If-Range`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from gateway.artifacts.errors import RangeOutside
from gateway.registry.delivery import Delivery, Opened
from gateway.registry.records import SealedPayload
from gateway.web.dependencies import CallDep, provided
from gateway.web.operations import says, sends
from gateway.web.strict_route import StrictRoute

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/models/{model}/versions/{version}/payloads",
    tags=["artifacts"],
)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What these routes need.

    Attributes:
        delivery: Decides and records.
        read_range: Reads (digest, start, length) of a stored ciphertext; blocks.
        results: Records how a delivery ended whose request was cancelled.
    """

    delivery: Delivery
    read_range: Callable[[str, int, int], bytes]
    results: Executor


Use = Annotated[Deliveries, provided(Deliveries)]


CHUNK: Final = 1 << 20
"""Smaller chunks cut the throughput to a third."""
MAX_RECIPIENT: Final = 4096
"""Characters: a post-quantum age recipient has about 1,960."""

Recipient = Annotated[str, Header(alias="sealgate-recipient", max_length=MAX_RECIPIENT)]
PAYLOAD: Final = {
    **sends(
        "application/octet-stream",
        "The whole ciphertext.",
        headers={
            "ETag": "The payload's digest: goes into `If-Range`.",
            "Accept-Ranges": "`bytes`.",
        },
    ),
    **sends(
        "application/octet-stream",
        "The range that was asked for.",
        status=206,
        headers={
            "ETag": "The payload's digest: goes into `If-Range`.",
            "Content-Range": "Which bytes, of how many.",
        },
    ),
}
_RANGE: Final = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `stop` (exclusive) of a payload."""

    start: int
    stop: int
    partial: bool


@router.get(
    "/{digest}",
    operation_id="download_payload",
    openapi_extra=says(
        "age_recipient",
        "age_recipients_mixed",
        "illegal_move",
        "payload_absent",
        "payload_corrupt",
        "range_outside",
        decides="downloadArtifact",
        on="ModelVersion",
    ),
    responses=PAYLOAD,
    response_class=Response,
)
async def payload(
    model: str,
    version: str,
    digest: str,
    call: CallDep,
    use: Use,
    sealgate_recipient: Recipient,
    range_: Annotated[str | None, Header(alias="range", max_length=128)] = None,
    if_range: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Send the stored ciphertext, or a range of it."""
    found = await run_in_threadpool(
        use.delivery.find, call, model, version, digest, sealgate_recipient
    )
    asked = range_ if if_range in (None, f'"{digest}"') else None
    span = parse_range(asked, found.payload.length)
    if span is None:
        raise RangeOutside(found.payload.length)
    opened = await run_in_threadpool(use.delivery.open, call, found)
    stream = _send(use, opened, span)
    status = 206 if span.partial else 200
    return StreamingResponse(stream, status, headers=_headers(found.payload, span))


@router.post(
    "/{digest}/header",
    operation_id="make_header",
    openapi_extra=says(
        "age_recipient",
        "age_recipients_mixed",
        "illegal_move",
        decides="downloadArtifact",
        on="ModelVersion",
    ),
    responses=sends("application/octet-stream", "The header: put it in front of the payload."),
    response_class=Response,
)
def header(
    model: str,
    version: str,
    digest: str,
    call: CallDep,
    use: Use,
    sealgate_recipient: Recipient,
) -> Response:
    """Make the age header that opens the payload with the recipient's key."""
    found = use.delivery.find(call, model, version, digest, sealgate_recipient)
    body = use.delivery.header(call, found, sealgate_recipient)
    return Response(
        body, media_type="application/octet-stream", headers={"cache-control": "no-store"}
    )


def parse_range(value: str | None, length: int) -> Span | None:
    """Read a `Range` of one part (RFC 9110, section 14.2).

    Returns:
        What to send: everything where there is no range or one that is not understood; None when
        the range lies outside.
    """
    match = _RANGE.match(value) if value else None
    if match is None or match.group(1) is match.group(2) is None:
        return Span(0, length, partial=False)
    first, last = match.groups()
    if first is None:
        start, stop = max(0, length - int(last)), length
    else:
        start, stop = int(first), min(length, int(last) + 1 if last is not None else length)
    return Span(start, stop, partial=True) if start < stop else None


async def _send(use: Deliveries, opened: Opened, span: Span) -> AsyncIterator[bytes]:
    """Send the span; record how it ended whatever happens, also when the client goes away."""
    position, recorded = span.start, False
    try:
        while position < span.stop:
            length = min(CHUNK, span.stop - position)
            chunk = await run_in_threadpool(
                use.read_range, opened.found.payload.digest, position, length
            )
            yield chunk
            position += len(chunk)
        sent = position - span.start
        await run_in_threadpool(use.delivery.close, opened, sent=sent, complete=True)
        recorded = True
    finally:
        if not recorded:
            # The request may be cancelled, so nothing can be awaited here.
            sent = position - span.start
            use.results.submit(partial(use.delivery.close, opened, sent=sent, complete=False))


def _headers(payload: SealedPayload, span: Span) -> dict[str, str]:
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(span.stop - span.start),
        "etag": f'"{payload.digest}"',
        "accept-ranges": "bytes",
        "cache-control": "no-store",
    }
    if span.partial:
        headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{payload.length}"
    return headers
