"""What a decision may know: frozen values that Cedar sees as entities and context.

A field has the name of its Cedar attribute (`schema.cedarschema`), so that `policies.memo` can read
exactly what a policy reads. Tenants, sites and models are named by their ids here; an entity id
carries its tenant (`acme/ecg@1.0`), so equal names of two tenants never meet.

INVARIANT: facts come from the gateway's own records and from a verified token, never from what a
request claims about itself; only `purpose` and `recipient` are the caller's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Uid: TypeAlias = tuple[str, str]
"""Cedar entity type and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFacts:
    """A tenant, as principal's or resource's home, or as what is administered.

    Attributes:
        purposes: Purposes of processing that the tenant has registered.
        require_binding: Its principals need tokens that are bound to a key.
    """

    id: str
    region: str
    suspended: bool
    purposes: frozenset[str]
    require_binding: bool = False

    @property
    def tenant(self) -> TenantFacts:
        """Itself: a tenant belongs to itself."""
        return self

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("Tenant", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFacts:
    """The deployment as a whole; `tenant` is the platform's own."""

    tenant: TenantFacts

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("Platform", "platform")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """A site whose client the principal is."""

    tenant: TenantFacts
    name: str
    revoked: bool

    @property
    def uid(self) -> Uid:
        """Cedar entity id, `tenant/name`."""
        return ("Site", f"{self.tenant.id}/{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """A client that acts for its tenant; `site` is set when it is a site's.

    Attributes:
        purposes: Purposes that the client is registered for.
    """

    id: str
    tenant: TenantFacts
    roles: frozenset[str]
    purposes: frozenset[str] = frozenset()
    site: SiteFacts | None = None

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("Service", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts:
    """A person."""

    id: str
    tenant: TenantFacts
    roles: frozenset[str]
    purposes: frozenset[str] = frozenset()

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("User", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model's name in the registry; `shared_with` holds tenant ids."""

    tenant: TenantFacts
    name: str
    personal: bool
    data_class: str
    shared_with: frozenset[str] = frozenset()

    @property
    def uid(self) -> Uid:
        """Cedar entity id, `tenant/name`."""
        return ("Model", f"{self.tenant.id}/{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersionFacts:
    """One version of a model.

    Attributes:
        stage: State in the registry (`candidate`, `released`, …).
        signed: The owner's signature and the tenant's link were both verified.
        shared_with: Ids of the tenants that may call it, by consent of both sides.
        delivered_to: Ids of those that it may be handed out to, likewise.
        agreed_purposes: Those that the caller's tenant may call it for; None: any.
    """

    tenant: TenantFacts
    model: str
    version: str
    stage: str
    signed: bool
    personal: bool
    data_class: str
    shared_with: frozenset[str] = frozenset()
    delivered_to: frozenset[str] = frozenset()
    agreed_purposes: frozenset[str] | None = None

    @property
    def id(self) -> str:
        """`tenant/model@version`."""
        return f"{self.tenant.id}/{self.model}@{self.version}"

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("ModelVersion", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationFacts:
    """A federation; `sites` are the names of the sites that it may reach."""

    tenant: TenantFacts
    name: str
    sites: frozenset[str]

    @property
    def uid(self) -> Uid:
        """Cedar entity id, `tenant/name`."""
        return ("Federation", f"{self.tenant.id}/{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLogFacts:
    """The audit log of a tenant."""

    tenant: TenantFacts

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("AuditLog", self.tenant.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySetFacts:
    """The policy set of a tenant."""

    tenant: TenantFacts

    @property
    def uid(self) -> Uid:
        """Cedar entity id."""
        return ("PolicySet", self.tenant.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFacts:
    """A data subject, by random reference only."""

    tenant: TenantFacts
    ref: str
    legal_hold: bool

    @property
    def uid(self) -> Uid:
        """Cedar entity id, `tenant/ref`."""
        return ("Subject", f"{self.tenant.id}/{self.ref}")


PrincipalFacts: TypeAlias = ServiceFacts | UserFacts
ResourceFacts: TypeAlias = (
    TenantFacts
    | PlatformFacts
    | ModelFacts
    | ModelVersionFacts
    | FederationFacts
    | AuditLogFacts
    | PolicySetFacts
    | SubjectFacts
)
Facts: TypeAlias = PrincipalFacts | ResourceFacts | SiteFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFacts:
    """What screening said of one answer.

    Attributes:
        outcome: `pass`, `flag`, `degrade`, `block`, or `unscreened` for a model without a profile.
        rules: Names of the screens that fired.
    """

    outcome: str
    rules: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFacts:
    """The circumstances of a request. The time is the engine's own.

    Attributes:
        scopes: Scopes of the access token.
        binding: What the token is bound to: `none`, `dpop`, …
        acr: Assurance of the authentication: 1 one factor, 2 several.
        auth_age: Seconds since the principal authenticated.
        region: Where this gateway runs.
        epoch: The revocation epoch under which the caller was authenticated.
        purpose: Of the processing; None when neither request nor registration name one.
        verdict: For `releaseOutput`.
        approvals: Distinct principals who stand behind the change, the caller included.
        solo: The recorded single-administrator mode is in force.
        four_eyes: The operator asks for two people for this change.
        recipient: For `downloadArtifact`: the recipient key.
    """

    scopes: frozenset[str]
    binding: str
    acr: int
    auth_age: int
    region: str
    epoch: int
    purpose: str | None = None
    verdict: VerdictFacts | None = None
    approvals: int = 1
    solo: bool = False
    four_eyes: bool = False
    recipient: str | None = None
