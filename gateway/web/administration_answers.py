"""What answers about tenants, clients and keys are made of, as types; see `gateway.web.answers`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from gateway.identity.records import AuthMethod, TokenBinding
from gateway.tenancy.key_list import KeyKind
from gateway.web.answers import Moment


class TenantAnswer(TypedDict):
    """A tenant."""

    id: str
    name: str
    region: str
    suspended: bool
    purposes: list[str]


class FormerKey(TypedDict):
    """A key that another one followed."""

    number: int
    id: str | None
    replaced: int | None
    ends: Annotated[int | None, Field(description="When it is accepted no more.")]
    endorsement: Annotated[
        str | None, Field(description="Of a log or a release key: what names the next.")
    ]


class KeyAnswer(TypedDict):
    """A key: its public half, and those of before that are accepted."""

    kind: KeyKind
    tenant: str
    number: int
    id: Annotated[str | None, Field(description="What verifiers know it by.")]
    made: int | None
    former: list[FormerKey]


class PolicyInForce(TypedDict):
    """The policy set in force."""

    epoch: int
    author: str
    created: int


class LimitAnswer(TypedDict):
    """Something that a tenant can use up."""

    name: str
    used: int
    most: int
    near: Annotated[bool, Field(description="Little of it is left.")]


class OverviewAnswer(TenantAnswer):
    """A tenant at a glance."""

    clients: Annotated[dict[str, int], Field(description="Enabled ones by role.")]
    clients_disabled: int
    models: int
    versions: Annotated[dict[str, int], Field(description="By state.")]
    shares_with: Annotated[dict[str, int], Field(description="Models that another may use.")]
    policy: PolicyInForce | None
    keys: list[KeyAnswer]
    rate_limit: str
    limits: list[LimitAnswer]


class ClientAnswer(TypedDict):
    """A client, without its credentials."""

    id: str
    tenant: str
    name: str
    roles: list[str]
    scopes: list[str]
    purposes: list[str]
    default_purpose: str | None
    auth_method: AuthMethod
    token_binding: TokenBinding
    redirect_uris: list[str]
    disabled: bool
    former_until: Annotated[list[int], Field(description="When each credential of before ends.")]


class NewClientAnswer(ClientAnswer):
    """A client with the credential that it was given just now."""

    client_secret: Annotated[str | None, Field(description="Shown this once.")]


class CallerAnswer(TypedDict):
    """A caller as the gateway sees it."""

    issuer: str
    client_id: str
    tenant: str
    roles: list[str]
    scopes: list[str]
    purposes: list[str]
    default_purpose: str | None
    binding: TokenBinding
    person: Annotated[str | None, Field(description="For whom the client acts.")]
    acr: Annotated[int, Field(description="1: one factor, 2: several; 0: a service.")]
    auth_age: Annotated[int, Field(description="Seconds since it authenticated, rounded up.")]
    expires: Moment
