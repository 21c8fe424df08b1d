"""The caller's log: events, checkpoint, tiles, proofs, export."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, BinaryIO, Final, Literal

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from audit.errors import EntryUnknown
from audit.ports import Filter
from audit.reader import Entry
from audit.tiles import parse_tile_path
from gateway.errors import InvalidRequest, NotFound, SealgateError
from gateway.privacy.audit_access import PAGE, AuditAccess
from gateway.web.answers import EntryAnswer, LogKey, Page
from gateway.web.dependencies import CallDep, provided
from gateway.web.operations import TEXT, says, sends
from gateway.web.shapes import entry_body, page_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/audit", tags=["audit"])
Use = Annotated[AuditAccess, provided(AuditAccess)]

CHUNK: Final = 1 << 20
"""Bytes of an export that are sent at once: larger chunks gain nothing, smaller ones cost."""
LOOK_S: Final = 1.0
"""How often a following looks for what is new."""
KEEP_ALIVE_LOOKS: Final = 15
"""Looks without news after which a comment keeps proxies from closing the stream."""
IN_MEMORY: Final = 4 << 20
"""An export above this is written to an anonymous file of the system."""

Text = Annotated[str | None, Query(max_length=128)]
EXPORT: Final = sends(
    "application/zip",
    "The log.",
    headers={"Sealgate-Log-Size": "Entries in the log."},
)


class EventQuery(BaseModel):
    """Conditions on events; all that are given must hold. Times are Unix nanoseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actor_ref: Annotated[str | None, Field(max_length=128)] = None
    subject_ref: Annotated[str | None, Field(max_length=128)] = None
    action: Annotated[str | None, Field(max_length=64)] = None
    outcome: Literal["allow", "deny", "error", "done"] | None = None
    model: Annotated[str | None, Field(max_length=127)] = None
    since: int | None = None
    until: int | None = None
    order: Literal["newest", "oldest"] = "newest"
    after: Annotated[str, Field(max_length=20)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    def where(self) -> Filter:
        """Return the conditions."""
        return Filter(
            actor_ref=self.actor_ref,
            subject_ref=self.subject_ref,
            action=self.action,
            outcome=self.outcome,
            model_id=self.model,
            since=self.since,
            until=self.until,
        )


@router.get(
    "/events",
    operation_id="search_events",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
)
def search(query: Annotated[EventQuery, Query()], call: CallDep, use: Use) -> Page[EntryAnswer]:
    """Search events."""
    entries = use.search(
        call,
        query.where(),
        cursor=_position(query.after),
        limit=query.limit,
        newest=query.order == "newest",
    )
    following = str(entries[-1].index) if len(entries) == query.limit else None
    return page_body([entry_body(entry) for entry in entries], following)


@router.get(
    "/follow",
    operation_id="follow_events",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
    responses=sends("text/event-stream", "Events, each `data` an entry.", schema=TEXT),
    response_class=Response,
)
async def follow(
    query: Annotated[EventQuery, Query()], call: CallDep, use: Use
) -> StreamingResponse:
    """Tell events as they come (server-sent events), those after the index `after` first.

    It ends when the caller's token does: go on with a new one, after the last index.
    """
    after = _position(query.after)
    look = await run_in_threadpool(use.follow, call, query.where())
    first = await run_in_threadpool(look, -1 if after is None else after)
    stream = _following(look, first, -1 if after is None else after, call.principal.expires)
    headers = {"cache-control": "no-store"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _following(
    look: Callable[[int], list[Entry]], entries: list[Entry], last: int, until: float
) -> AsyncIterator[bytes]:
    quiet = 0
    while time.time() < until:
        for each in entries:
            yield b"event: entry\ndata: " + orjson.dumps(entry_body(each)) + b"\n\n"
            last = each.index
        if not entries and (quiet := quiet + 1) % KEEP_ALIVE_LOOKS == 0:
            yield b": waiting\n\n"
        if len(entries) < PAGE:  # after a full page there is more already
            await asyncio.sleep(LOOK_S)
        try:
            entries = await run_in_threadpool(look, last)
        except SealgateError:
            return  # who may no longer read it hears why when asking again


@router.get(
    "/events/{index}",
    operation_id="get_event",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
)
def entry(index: int, call: CallDep, use: Use) -> EntryAnswer:
    """Show one event."""
    return entry_body(use.entry(call, index))


@router.get(
    "/key",
    operation_id="get_log_key",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
)
def key(call: CallDep, use: Use) -> LogKey:
    """Show the verifier key of the log; compare it with one you got another way."""
    newest, *former = use.keys(call)
    return {"key": newest, "former": former}


@router.get(
    "/checkpoint",
    operation_id="get_checkpoint",
    openapi_extra=says("log_empty", decides="reviewAudit", on="AuditLog"),
    responses=sends("text/plain", "The checkpoint.", schema=TEXT),
    response_class=Response,
)
def checkpoint(
    call: CallDep, use: Use, origin: Annotated[str | None, Query(max_length=256)] = None
) -> Response:
    """Return the newest signed checkpoint (C2SP tlog-checkpoint)."""
    return Response(use.checkpoint(call, origin), media_type="text/plain; charset=utf-8")


@router.get(
    "/tile/{path:path}",
    operation_id="get_tile",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
    responses=sends("application/octet-stream", "The tile or the bundle."),
    response_class=Response,
)
def tile(path: str, call: CallDep, use: Use) -> Response:
    """Return a tile or an entry bundle (C2SP tlog-tiles)."""
    try:
        address = parse_tile_path(f"tile/{path}")
    except EntryUnknown as cause:
        raise NotFound from cause
    return Response(use.tile(call, address), media_type="application/octet-stream")


@router.get(
    "/proof/{index}",
    operation_id="get_proof",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
    responses=sends("text/plain", "The proof.", schema=TEXT),
    response_class=Response,
)
def proof(index: int, call: CallDep, use: Use) -> Response:
    """Return the proof that an entry is in the log (C2SP tlog-proof)."""
    body = use.proof(call, index).to_bytes()
    return Response(body, media_type="text/plain; charset=utf-8")


@router.get(
    "/export",
    operation_id="export_log",
    openapi_extra=says("log_empty", decides="exportAudit", on="AuditLog"),
    responses=EXPORT,
    response_class=Response,
)
def export(call: CallDep, use: Use) -> StreamingResponse:
    """Return the whole log as one file that `audit/verify.py` checks offline."""
    out = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `_drain`
    try:
        summary = use.export(call, out)  # type: ignore[arg-type]
    except BaseException:
        out.close()
        raise
    headers = {
        "content-length": str(out.tell()),
        "sealgate-log-size": str(summary.size),
        "content-disposition": 'attachment; filename="audit.zip"',
    }
    out.seek(0)
    return StreamingResponse(_drain(out), media_type="application/zip", headers=headers)  # type: ignore[arg-type]


def _drain(source: BinaryIO) -> Iterator[bytes]:
    with source:
        while chunk := source.read(CHUNK):
            yield chunk


def _position(cursor: str) -> int | None:
    """Return the index of a cursor; None at the beginning.

    Raises:
        InvalidRequest: It is not one that an earlier page gave.
    """
    if cursor and not (cursor.isascii() and cursor.isdigit()):
        raise InvalidRequest("`after` must be the `next` of an earlier page")
    return int(cursor) if cursor else None
