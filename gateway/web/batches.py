"""Batch jobs: rows come in as an upload, results go out as age files for the caller's own key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from gateway.batch.batches import Batches, BatchOrder
from gateway.pages import PAGE
from gateway.web.answers import BatchAnswer, Page, PartAnswer
from gateway.web.artifacts import MAX_RECIPIENT
from gateway.web.bodies import Body, ModelName, Name, Reference, VersionName
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says, sends
from gateway.web.shapes import batch_body, page_body, part_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/batches", tags=["batches"])
MAX_SUBJECT: Final = 512
"""Characters, as of the parameter `subject` of a call."""


@dataclass(frozen=True, slots=True)
class BatchJobs:
    """What these routes need; `read` returns a stored ciphertext by digest and length."""

    batches: Batches
    read: Callable[[str, int], bytes]


Use = Annotated[BatchJobs, provided(BatchJobs)]


class NewBatch(Body):
    """Rows that were sent before (`POST /v1/uploads?use=rows`), and whom the results are for."""

    model: ModelName
    upload: Reference
    format: Literal["npz", "jsonl", "parquet"]
    recipient: Annotated[str, Field(max_length=MAX_RECIPIENT)]
    version: VersionName | None = None
    purpose: Name | None = None
    subject: Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT)] | None = None


@router.post(
    "",
    status_code=202,
    openapi_extra=says(
        "model_not_found",
        "age_recipient",
        "limit_reached",
        "rows_refused",
        "state_conflict",
        "illegal_move",
        decides="infer",
        on="ModelVersion",
    ),
)
def start_batch(body: NewBatch, call: CallDep, use: Use) -> BatchAnswer:
    """Start a batch job; answers with the job to watch."""
    asked = replace(call, purpose=body.purpose) if body.purpose is not None else call
    order = BatchOrder(
        body.model, body.version, body.upload, body.format, body.recipient, body.subject
    )
    batch = use.batches.start(asked, order)
    return batch_body(batch, use.batches.progress(batch))


@router.get("")
def list_batches(call: CallDep, use: Use, page: PageDep) -> Page[BatchAnswer]:
    """List the caller's batch jobs, oldest first."""
    found, following = use.batches.batches(call, after=page.after, limit=page.limit)
    return page_body([batch_body(one, use.batches.progress(one)) for one in found], following)


@router.get("/{batch}")
def get_batch(batch: str, call: CallDep, use: Use) -> BatchAnswer:
    """Show a batch job and how far it is."""
    found = use.batches.find(call, batch)
    return batch_body(found, use.batches.progress(found))


@router.post(
    "/{batch}/cancel",
    openapi_extra=says("state_conflict"),
)
def cancel_batch(batch: str, call: CallDep, use: Use) -> BatchAnswer:
    """Stop a batch job; what it has answered can still be fetched."""
    found = use.batches.cancel(call, batch)
    return batch_body(found, use.batches.progress(found))


@router.delete(
    "/{batch}",
    status_code=204,
    openapi_extra=says("state_conflict"),
)
def delete_batch(batch: str, call: CallDep, use: Use) -> Response:
    """Throw away a batch job, its rows and its results."""
    use.batches.delete(call, batch)
    return Response(status_code=204)


@router.get("/{batch}/results")
def list_results(
    batch: str,
    call: CallDep,
    use: Use,
    after: Annotated[int, Query(ge=-1, le=1 << 40)] = -1,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Page[PartAnswer]:
    """List the results of a batch job, one for each chunk that has ended."""
    parts = use.batches.parts(call, batch, after=after, limit=limit)
    following = str(parts[-1].number) if len(parts) == limit else None
    return page_body([part_body(part) for part in parts], following)


@router.get(
    "/{batch}/results/{number}",
    openapi_extra=says(
        "output_refused",
        "payload_absent",
        "payload_corrupt",
        decides="releaseOutput",
        on="ModelVersion",
    ),
    responses=sends("application/octet-stream", "An age file."),
    response_class=Response,
)
def get_result(batch: str, number: int, call: CallDep, use: Use) -> Response:
    """Send one result: an age file for the key that the job was started with."""
    part = use.batches.fetch(call, batch, number)
    headers = {"cache-control": "no-store", "etag": f'"{part.digest}"'}
    content = use.read(part.digest, part.length)
    return Response(content, media_type="application/octet-stream", headers=headers)
