"""Why a request of the caller's tenant ended as it did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.privacy.reasons import Reason, Reasons
from gateway.web.answers import ReasonAnswer, WhyAnswer
from gateway.web.dependencies import CallDep, provided
from gateway.web.operations import says
from gateway.web.shapes import entry_body, rule_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/requests", tags=["audit"])
Use = Annotated[Reasons, provided(Reasons)]


@router.get(
    "/{request_id}",
    operation_id="explain_request",
    openapi_extra=says(decides="reviewAudit", on="AuditLog"),
)
def why(request_id: Annotated[str, Path(max_length=64)], call: CallDep, use: Use) -> WhyAnswer:
    """Tell what was decided about a request, by which rules, and what would have to change."""
    found = use.of(call, request_id)
    return {"request_id": request_id, "records": [_body(reason) for reason in found]}


def _body(reason: Reason) -> ReasonAnswer:
    return {
        **entry_body(reason.entry),
        "rules": [rule_body(rule) for rule in reason.rules],
        "certain": reason.certain,
        "notes": list(reason.notes),
    }
