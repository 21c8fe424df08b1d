"""The keys of the platform and of tenants: which there are, and replacing them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field, StrictBool, StrictInt

from audit.event import PLATFORM_TENANT
from gateway.tenancy.key_list import OF_A_TENANT, KeyList
from gateway.tenancy.key_orders import KeyOrders
from gateway.web.administration_answers import KeyAnswer
from gateway.web.answers import Page
from gateway.web.approvals import WaitingAnswer, waiting_body
from gateway.web.bodies import Body, Name
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import key_body, page_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/keys", tags=["administration"])
Orders = Annotated[KeyOrders, provided(KeyOrders)]
Keys = Annotated[KeyList, provided(KeyList)]


class Rotation(Body):
    """Which key is to be replaced, and for how long what it did before is accepted."""

    kind: Literal["token", "policy", "log", "tenant", "release"]
    tenant: Name | None = None
    overlap_s: Annotated[StrictInt, Field(ge=0)] | None = None
    lost: Annotated[
        StrictBool, Field(description="A release key that is lost or in wrong hands.")
    ] = False


@router.get(
    "", openapi_extra=says(decides="administer", on="Platform", also=("administer", "Tenant"))
)
def list_keys(
    call: CallDep,
    keys: Keys,
    page: PageDep,
    tenant: Annotated[str | None, Query(max_length=63)] = None,
) -> Page[KeyAnswer]:
    """List keys: the platform's first, then each tenant's; never a private half."""
    if tenant is not None:
        return page_body([key_body(key) for key in keys.of_tenant(call, tenant)], None)
    found = [] if page.after else keys.of_platform(call)
    wanted = max(1, page.limit // OF_A_TENANT)
    tenants = keys.tenants(call, after=page.after, limit=wanted)
    for one in tenants:
        found += keys.of_tenant(call, one.id)
    following = tenants[-1].id if len(tenants) == wanted else None
    return page_body([key_body(key) for key in found], following)


@router.post(
    "/rotate",
    operation_id="rotate_key",
    openapi_extra=says(
        "state_conflict",
        "limit_reached",
        "key_unavailable",
        decides="administer",
        on="Platform",
        also=("administer", "Tenant"),
    ),
    responses={202: {"model": WaitingAnswer, "description": "It waits for a second person."}},
)
def rotate(
    body: Rotation, call: CallDep, orders: Orders, keys: Keys, response: Response
) -> KeyAnswer | WaitingAnswer:
    """Replace a key; what is signed or wrapped from then on is so by the new one.

    Where the operator asks for two people it waits for the second one, who agrees to it by its
    digest; nothing is replaced until then.
    """
    waits = orders.order(call, body.kind, body.tenant, body.overlap_s, lost=body.lost)
    if waits is not None:
        response.status_code = 202
        return waiting_body(waits)
    return key_body(keys.one(body.kind, body.tenant or PLATFORM_TENANT))
