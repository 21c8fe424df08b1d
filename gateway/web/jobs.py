"""Long work: its state, and its progress as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from gateway.errors import NotFound
from gateway.web.answers import JobAnswer, JobCount
from gateway.web.dependencies import CallDep, provided
from gateway.web.operations import TEXT, sends
from gateway.web.shapes import job_body
from gateway.web.strict_route import StrictRoute
from gateway.work.jobs import MAX_RUNNING, Job, Jobs

router = APIRouter(route_class=StrictRoute, prefix="/v1/jobs", tags=["jobs"])
Use = Annotated[Jobs, provided(Jobs)]

LOOK_S: Final = 0.2
"""How often a watcher looks: below what a person notices."""
KEEP_ALIVE_LOOKS: Final = 75
"""Looks without news, 15 s, after which a comment keeps proxies from closing the stream."""


@router.get("")
def count_jobs(call: CallDep, use: Use) -> JobCount:
    """Tell how many jobs of the caller's tenant are under way, and how many may be."""
    return {"running": use.running(call.principal.tenant), "limit": MAX_RUNNING}


@router.get("/{job_id}")
def get_job(job_id: str, call: CallDep, use: Use) -> JobAnswer:
    """Show a job of the caller's tenant."""
    return job_body(_find(use, call.principal.tenant, job_id))


@router.get(
    "/{job_id}/events",
    responses=sends("text/event-stream", "Events, each `data` the job.", schema=TEXT),
    response_class=Response,
)
def watch_job(job_id: str, call: CallDep, use: Use) -> StreamingResponse:
    """Tell each change of a job until it ends (server-sent events)."""
    _find(use, call.principal.tenant, job_id)
    stream = _changes(use, call.principal.tenant, job_id)
    headers = {"cache-control": "no-store"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _find(jobs: Jobs, tenant: str, job_id: str) -> Job:
    job = jobs.get(tenant, job_id)
    if job is None:
        raise NotFound
    return job


async def _changes(jobs: Jobs, tenant: str, job_id: str) -> AsyncIterator[bytes]:
    seen, quiet = -1, 0
    while (job := jobs.get(tenant, job_id)) is not None:
        if job.change != seen:
            seen, quiet = job.change, 0
            yield b"event: job\ndata: " + orjson.dumps(job_body(job)) + b"\n\n"
            if job.state != "running":
                return
        elif (quiet := quiet + 1) % KEEP_ALIVE_LOOKS == 0:
            yield b": waiting\n\n"
        await asyncio.sleep(LOOK_S)
