"""Tenants and clients."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, StrictBool, StrictInt

from gateway.identity.records import AuthMethod, TokenBinding
from gateway.identity.redirects import MAX_REDIRECT, MAX_REDIRECTS
from gateway.tenancy.administration import Administration, ClientOrder
from gateway.tenancy.credentials import Credentials
from gateway.tenancy.overview import Overviews
from gateway.web.administration_answers import (
    CallerAnswer,
    ClientAnswer,
    NewClientAnswer,
    OverviewAnswer,
    TenantAnswer,
)
from gateway.web.answers import Page
from gateway.web.bodies import Body, Name, Title, Words
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import client_body, overview_body, page_body, tenant_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1", tags=["administration"])
Use = Annotated[Administration, provided(Administration)]
Held = Annotated[Credentials, provided(Credentials)]
Looks = Annotated[Overviews, provided(Overviews)]


Redirect = Annotated[str, Field(max_length=MAX_REDIRECT)]
Redirects = Annotated[tuple[Redirect, ...], Field(max_length=MAX_REDIRECTS)]


class NewTenant(Body):
    """A tenant."""

    id: Name
    name: Title
    region: Name
    purposes: Words = frozenset()


class Standing(Body):
    """Whether a tenant is suspended."""

    suspended: StrictBool


class NewClient(Body):
    """A client of a tenant."""

    id: Name
    name: Title
    tenant: Name
    roles: Words = frozenset()
    scopes: Words = frozenset()
    purposes: Words = frozenset()
    default_purpose: Name | None = None
    auth_method: AuthMethod = "private_key_jwt"
    jwks: dict[str, Any] | None = None
    token_binding: TokenBinding = "dpop"  # noqa: S105 - a kind of binding
    redirect_uris: Redirects = ()

    def order(self) -> ClientOrder:
        """Return what the use case takes."""
        return ClientOrder(
            id=self.id,
            name=self.name,
            roles=self.roles,
            scopes=self.scopes,
            purposes=self.purposes,
            default_purpose=self.default_purpose,
            auth_method=self.auth_method,
            jwks=self.jwks,
            token_binding=self.token_binding,
            redirect_uris=self.redirect_uris,
        )


class NewCredential(Body):
    """What a client authenticates with from now on, and for how long what it has goes on."""

    jwks: dict[str, Any] | None = None
    overlap_s: Annotated[StrictInt, Field(ge=0)] | None = None


@router.get(
    "/tenants",
    openapi_extra=says(decides="administer", on="Platform"),
)
def list_tenants(call: CallDep, use: Use, page: PageDep) -> Page[TenantAnswer]:
    """List tenants."""
    tenants = use.tenants(call, after=page.after, limit=page.limit)
    following = tenants[-1].id if len(tenants) == page.limit else None
    return page_body([tenant_body(tenant) for tenant in tenants], following)


@router.post(
    "/tenants",
    status_code=201,
    openapi_extra=says("already_exists", decides="administer", on="Platform"),
)
def create_tenant(body: NewTenant, call: CallDep, use: Use) -> TenantAnswer:
    """Make a tenant with keys and policies of its own."""
    tenant = use.create_tenant(call, body.id, body.name, body.region, body.purposes)
    return tenant_body(tenant)


@router.get(
    "/tenants/{tenant}",
    openapi_extra=says(decides="administer", on="Tenant"),
)
def show_tenant(tenant: str, call: CallDep, use: Looks) -> OverviewAnswer:
    """Look a tenant over: what it has, how old its keys are, what it is near to."""
    return overview_body(use.show(call, tenant))


@router.put(
    "/tenants/{tenant}/standing",
    openapi_extra=says(decides="administer", on="Tenant"),
)
def set_standing(tenant: str, body: Standing, call: CallDep, use: Use) -> TenantAnswer:
    """Suspend a tenant, or let it in again."""
    changed = use.set_suspended(call, tenant, suspended=body.suspended)
    return tenant_body(changed)


@router.get(
    "/clients",
    openapi_extra=says(decides="administer", on="Tenant"),
)
def list_clients(tenant: str, call: CallDep, use: Use, page: PageDep) -> Page[ClientAnswer]:
    """List the clients of a tenant."""
    clients = use.clients(call, tenant, after=page.after, limit=page.limit)
    following = clients[-1].id if len(clients) == page.limit else None
    return page_body([client_body(client) for client in clients], following)


@router.post(
    "/clients",
    status_code=201,
    openapi_extra=says(
        "already_exists", "registration_refused", "key_refused", decides="administer", on="Tenant"
    ),
)
def create_client(body: NewClient, call: CallDep, use: Use) -> NewClientAnswer:
    """Register a client; its secret, if it has one, is shown this once."""
    client, secret = use.create_client(call, body.tenant, body.order())
    return {**client_body(client), "client_secret": secret}


@router.post(
    "/tenants/{tenant}/clients/{client}/disable",
    openapi_extra=says(decides="administer", on="Tenant"),
)
def disable_client(tenant: str, client: str, call: CallDep, use: Use) -> ClientAnswer:
    """Shut a client out at once."""
    return client_body(use.disable_client(call, tenant, client))


@router.post(
    "/tenants/{tenant}/clients/{client}/enable",
    openapi_extra=says("state_conflict", decides="administer", on="Tenant"),
)
def enable_client(tenant: str, client: str, call: CallDep, use: Held) -> ClientAnswer:
    """Let a disabled client in again."""
    return client_body(use.enable(call, tenant, client))


@router.post(
    "/tenants/{tenant}/clients/{client}/rotate",
    openapi_extra=says(
        "state_conflict",
        "registration_refused",
        "key_refused",
        "limit_reached",
        decides="administer",
        on="Tenant",
    ),
)
def rotate_client(
    tenant: str, client: str, body: NewCredential, call: CallDep, use: Held
) -> NewClientAnswer:
    """Give a client another secret, which is shown this once, or other keys."""
    changed, secret = use.rotate(call, tenant, client, body.jwks, body.overlap_s)
    return {**client_body(changed), "client_secret": secret}


@router.get("/whoami")
def whoami(call: CallDep) -> CallerAnswer:
    """Tell the caller how the gateway sees it."""
    principal = call.principal
    return {
        "issuer": principal.issuer,
        "client_id": principal.app or principal.client_id,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "scopes": sorted(principal.scopes),
        "purposes": sorted(principal.purposes),
        "default_purpose": principal.default_purpose,
        "binding": principal.binding,
        "person": principal.subject if principal.kind == "user" else None,
        "acr": principal.acr,
        "auth_age": principal.auth_age,
        "expires": principal.expires,
    }
