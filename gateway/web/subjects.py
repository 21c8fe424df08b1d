"""Rights of data subjects. Identifiers of people come in bodies only; URLs carry references."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from gateway.privacy.subjects import Subjects
from gateway.web.answers import DossierAnswer, ErasureAnswer, SubjectAnswer
from gateway.web.bodies import Body, Reference
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import entry_body, page_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/subjects", tags=["subjects"])
Use = Annotated[Subjects, provided(Subjects)]


class LookUp(Body):
    """Who is looked for."""

    identifier: Annotated[str, Field(min_length=1, max_length=512)]


class Erase(Body):
    """Repeats the reference, because this cannot be undone."""

    confirm: Reference


@router.post(
    "/lookup",
    operation_id="look_up_subject",
    openapi_extra=says(decides="exportSubject", on="Subject"),
)
def look_up(body: LookUp, call: CallDep, use: Use) -> SubjectAnswer:
    """Find the reference of a person."""
    return {"ref": use.lookup(call, body.identifier)}


@router.get(
    "/{ref}",
    operation_id="list_subject_events",
    openapi_extra=says(decides="exportSubject", on="Subject"),
)
def dossier(ref: str, call: CallDep, use: Use, page: PageDep) -> DossierAnswer:
    """Show every event that concerns a person."""
    after = page.position if page.after else -1
    entries = use.dossier(call, ref, after=after, limit=page.limit)
    following = str(entries[-1].index) if len(entries) == page.limit else None
    return {"ref": ref, **page_body([entry_body(entry) for entry in entries], following)}


@router.post(
    "/{ref}/erase",
    operation_id="erase_subject",
    openapi_extra=says("erasure_incomplete", decides="eraseSubject", on="Subject"),
)
def erase(ref: str, body: Erase, call: CallDep, use: Use) -> ErasureAnswer:
    """Erase what is personal about a person; the receipt names the recorded result."""
    erasure = use.erase(call, ref, body.confirm)
    return {"ref": erasure.ref, "intent": erasure.intent, "receipt": str(erasure.result)}
