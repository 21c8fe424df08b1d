"""Requests that wait for a second person: looked at, agreed to, withdrawn."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from gateway.authorization.approvals import Approvals
from gateway.authorization.records import Approval
from gateway.web.answers import Moment, Page
from gateway.web.bodies import Body
from gateway.web.dependencies import CallDep, provided
from gateway.web.operations import says
from gateway.web.shapes import page_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/approvals", tags=["administration"])
Use = Annotated[Approvals, provided(Approvals)]


class WaitingAnswer(TypedDict):
    """A request that waits for a second person."""

    approval: Annotated[str, Field(description="Its id.")]
    operation: Annotated[str, Field(description="What is to be done.")]
    request: Annotated[dict[str, Any], Field(description="As it was asked for, and bound.")]
    asked_by: str
    at: Moment
    expires: Moment
    sha256: Annotated[str, Field(description="Of all of it: what the second person names.")]


class GrantedAnswer(TypedDict):
    """A request that was agreed to, and done."""

    approval: str
    operation: str
    done: bool


class Grant(Body):
    """What is agreed to, by the digest that the one who asked told."""

    sha256: Annotated[str, Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")]


def waiting_body(approval: Approval) -> WaitingAnswer:
    """A request that waits."""
    return {
        "approval": approval.id,
        "operation": approval.operation,
        "request": json.loads(approval.body),
        "asked_by": approval.asked_by,
        "at": approval.at,
        "expires": approval.expires,
        "sha256": approval.digest,
    }


@router.get("", openapi_extra=says(decides="administer", on="Platform"))
def list_approvals(call: CallDep, use: Use) -> Page[WaitingAnswer]:
    """List what waits for a second person, oldest first; others see nothing here."""
    return page_body([waiting_body(one) for one in use.waiting(call)], None)


@router.get("/{approval}", openapi_extra=says(decides="administer", on="Platform"))
def get_approval(approval: str, call: CallDep, use: Use) -> WaitingAnswer:
    """Show one request that waits."""
    return waiting_body(use.find(call, approval))


@router.post(
    "/{approval}/grant",
    operation_id="grant_approval",
    openapi_extra=says(
        "state_conflict",
        "limit_reached",
        "key_unavailable",
        "policy_set_invalid",
        "policy_epoch_exists",
        decides="administer",
        on="Platform",
    ),
)
def grant(approval: str, body: Grant, call: CallDep, use: Use) -> GrantedAnswer:
    """Agree to a request of somebody else; it is done before the answer."""
    found = use.grant(call, approval, body.sha256)
    return {"approval": found.id, "operation": found.operation, "done": True}


@router.delete(
    "/{approval}",
    operation_id="withdraw_approval",
    status_code=204,
    openapi_extra=says(decides="administer", on="Platform"),
)
def withdraw(approval: str, call: CallDep, use: Use) -> Response:
    """Forget a request: whoever could agree to it may say no."""
    use.withdraw(call, approval)
    return Response(status_code=204)
