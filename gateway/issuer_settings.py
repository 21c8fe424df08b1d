"""What an operator can say of a foreign token issuer: `[[issuers]]` in `sealgate.toml`.

Five lines are enough for a maker that `kind` names; everything that `kind` says can be said
otherwise. `gateway.identity.trust` refuses what would switch a check off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

Claim = Annotated[str, Field(min_length=1, max_length=255)]
Claims = Claim | Annotated[tuple[Claim, ...], Field(min_length=1, max_length=8)]
"""One name, or several."""
Kind = Literal["rfc9068", "keycloak", "entra", "okta", "auth0", "cognito"]


class IntrospectionSettings(BaseModel):
    """How an issuer is asked what an opaque token is (RFC 7662).

    Attributes:
        client_id: Whom the gateway is at the issuer.
        secret_file: File with the secret of that client.
        endpoint: The address, or None to learn it from the discovery document.
        seconds: How long an answer is relied on at most, which is how long a token that was revoked
            there is accepted here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str = Field(min_length=1, max_length=255)
    secret_file: Path
    endpoint: str | None = None
    seconds: int = Field(default=30, ge=1, le=300)


class TrustedIssuer(BaseModel):
    """A foreign issuer whose tokens are accepted for named tenants.

    Attributes:
        name: What logs, metrics and `sealgate issuer` call it; by default the host of `issuer`,
            or all of it where another one is at that host.
        kind: The maker of its product, which says how its tokens are written.
        issuer: The exact `iss` of its tokens.
        audience: What its tokens must be for.
        tenants: The tenants that it may ever speak for.
        clients: Its client id → the client id here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    audience: str = Field(min_length=1)
    clients: dict[str, str] = Field(min_length=1, description="client id there → client id here")
    tenants: tuple[str, ...] = Field(min_length=1, description="tenants it may ever speak for")
    kind: Kind = "rfc9068"
    name: str | None = Field(default=None, min_length=1, max_length=63)
    algorithms: tuple[str, ...] | None = Field(default=None, min_length=1)
    jwks_uri: str | None = None
    types: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=8)
    client_claim: Claims | None = None
    subject_claim: Claims | None = None
    tenant_claim: Claim | None = None
    tenant_names: dict[str, str] = {}
    scope_claim: Claims | None = None
    scope_prefix: str | None = None
    default_scopes: tuple[str, ...] = ()
    roles_claim: Claims | None = None
    role_names: dict[str, str] = {}
    acr_claim: Claim | None = None
    acr_levels: dict[str, Annotated[int, Field(ge=0, le=9)]] = {}
    leeway_seconds: int = Field(default=30, ge=0, le=300)
    max_token_seconds: int | None = Field(default=None, ge=1, le=100_800)
    introspection: IntrospectionSettings | None = None

    @property
    def called(self) -> str:
        """What it is called: `name`, or the host of its address."""
        if self.name is not None:
            return self.name
        try:
            return urlsplit(self.issuer).hostname or self.issuer
        except ValueError:
            return self.issuer
