"""Sharing a model: the owner's side under the model, the other side under `/v1/shared`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, StrictBool, StrictInt
from typing_extensions import TypedDict

from gateway.names import shared_name
from gateway.registry.records import Sharing
from gateway.registry.sharing import Sharings
from gateway.registry.terms import Terms
from gateway.web.answers import Moment, Page
from gateway.web.bodies import Body, Name, Reference, VersionName
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import page_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["sharing"])
Use = Annotated[Sharings, provided(Sharings)]

MOST = 64
"""Words of a list in a body; the use case takes fewer and says so."""


class Offer(Body):
    """What another tenant may do with a model, once it accepts."""

    infer: StrictBool = True
    download: StrictBool = False
    versions: Annotated[frozenset[VersionName], Field(max_length=MOST)] = frozenset()
    purposes: Annotated[frozenset[Name], Field(max_length=MOST)] = frozenset()
    until: Annotated[StrictInt | None, Field(ge=1, lt=1 << 40)] = None

    def terms(self, tenant: str) -> Terms:
        """Return what the use case takes."""
        return Terms(
            tenant=tenant,
            versions=self.versions,
            infer=self.infer,
            download=self.download,
            purposes=self.purposes,
            until=self.until,
        )


class Acceptance(Body):
    """Which offer is accepted: the one that was looked at."""

    offer: Reference


class SharingAnswer(TypedDict):
    """What one tenant shares with another, or offers to."""

    offer: Annotated[str, Field(description="Id of the offer; other terms have another one.")]
    owner: str
    model: str
    name: Annotated[str, Field(description="`owner~model`: what the other tenant calls it.")]
    tenant: Annotated[str, Field(description="With whom it is shared.")]
    state: Literal["offered", "accepted"]
    infer: bool
    download: bool
    versions: Annotated[list[str], Field(description="Empty: all while they are released.")]
    purposes: Annotated[list[str], Field(description="Empty: any that are registered.")]
    until: Annotated[int | None, Field(description="Unix seconds.")]
    offered: Moment
    accepted: Annotated[int | None, Field(description="Unix seconds.")]


def sharing_body(sharing: Sharing) -> SharingAnswer:
    """A sharing; nobody of either side is named."""
    return {
        "offer": sharing.id,
        "owner": sharing.owner,
        "model": sharing.model,
        "name": shared_name(sharing.owner, sharing.model),
        "tenant": sharing.tenant,
        "state": "offered" if sharing.accepted is None else "accepted",
        "infer": sharing.infer,
        "download": sharing.download,
        "versions": sorted(sharing.versions),
        "purposes": sorted(sharing.purposes),
        "until": sharing.until,
        "offered": sharing.offered,
        "accepted": sharing.accepted,
    }


@router.get(
    "/v1/models/{model}/sharing",
    openapi_extra=says(decides="readMetadata", on="Model"),
)
def list_sharing(model: str, call: CallDep, use: Use) -> Page[SharingAnswer]:
    """List the tenants that a model is shared with or offered to."""
    return page_body([sharing_body(one) for one in use.given(call, model)], None)


@router.put(
    "/v1/models/{model}/sharing/{tenant}",
    openapi_extra=says("limit_reached", decides="uploadArtifact", on="Model"),
)
def offer_model(model: str, tenant: str, body: Offer, call: CallDep, use: Use) -> SharingAnswer:
    """Offer a model to another tenant; what it had of it before ends."""
    return sharing_body(use.offer(call, model, body.terms(tenant)))


@router.delete(
    "/v1/models/{model}/sharing/{tenant}",
    status_code=204,
    openapi_extra=says(decides="uploadArtifact", on="Model"),
)
def unshare_model(model: str, tenant: str, call: CallDep, use: Use) -> Response:
    """End what a model is shared with another tenant, at once."""
    use.withdraw(call, model, tenant)
    return Response(status_code=204)


@router.get(
    "/v1/shared",
    openapi_extra=says(decides="readMetadata", on="Model"),
)
def list_shared(call: CallDep, use: Use, page: PageDep) -> Page[SharingAnswer]:
    """List what other tenants share with the caller's, or offer to it."""
    found, following = use.received(call, after=page.after, limit=page.limit)
    return page_body([sharing_body(one) for one in found], following)


@router.get(
    "/v1/shared/{owner}/{model}",
    openapi_extra=says(decides="readMetadata", on="Model"),
)
def get_shared(owner: str, model: str, call: CallDep, use: Use) -> SharingAnswer:
    """Show what another tenant shares, or offers, of one model."""
    return sharing_body(use.received_from(call, owner, model))


@router.put(
    "/v1/shared/{owner}/{model}",
    openapi_extra=says("state_conflict", decides="uploadArtifact", on="Model"),
)
def accept_shared(
    owner: str, model: str, body: Acceptance, call: CallDep, use: Use
) -> SharingAnswer:
    """Accept an offer: from then on the model is shared."""
    return sharing_body(use.accept(call, owner, model, body.offer))


@router.delete(
    "/v1/shared/{owner}/{model}",
    status_code=204,
    openapi_extra=says(decides="uploadArtifact", on="Model"),
)
def decline_shared(owner: str, model: str, call: CallDep, use: Use) -> Response:
    """Refuse an offer, or end what is shared, at once."""
    use.decline(call, owner, model)
    return Response(status_code=204)
