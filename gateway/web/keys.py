"""The keys of the platform and of tenants: which there are, and replacing them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field, StrictInt

from gateway.errors import InvalidRequest
from gateway.tenancy.key_list import OF_A_TENANT, KeyList
from gateway.tenancy.keys import KeyRotation
from gateway.web.administration_answers import KeyAnswer
from gateway.web.answers import Page
from gateway.web.bodies import Body, Name
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import key_body, page_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/keys", tags=["administration"])
Use = Annotated[KeyRotation, provided(KeyRotation)]
Keys = Annotated[KeyList, provided(KeyList)]


class Rotation(Body):
    """Which key is to be replaced, and for how long what it did before is accepted."""

    kind: Literal["token", "log", "tenant"]
    tenant: Name | None = None
    overlap_s: Annotated[StrictInt, Field(ge=0)] | None = None


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
)
def rotate(body: Rotation, call: CallDep, use: Use, keys: Keys) -> KeyAnswer:
    """Replace a key; what is signed or wrapped from then on is so by the new one."""
    if body.kind == "token":
        if body.tenant is not None:
            raise InvalidRequest("tokens have one key for all tenants: leave `tenant` out")
        use.rotate_token(call, body.overlap_s)
        return key_body(keys.token())
    if body.tenant is None:
        raise InvalidRequest("`tenant` is required: each has a key of its own")
    if body.kind == "log":
        if body.overlap_s is not None:
            raise InvalidRequest("what a log's key signed stays good: leave `overlap_s` out")
        use.rotate_log(call, body.tenant)
        return key_body(keys.log(body.tenant))
    use.rotate_tenant(call, body.tenant, body.overlap_s)
    return key_body(next(key for key in keys.files(body.tenant) if key.kind == "tenant"))
