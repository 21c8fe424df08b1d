"""The one place where a call is turned into facts and decided, and where a refusal is recorded.

Safety argument:
1. Every use case calls `Guard.require` before it reads or changes anything that belongs to a
   tenant, and goes on only with an allowing decision. Work that waited, for bytes or for a worker,
   calls it once more.
2. A refusal is durable before the caller hears of it.
3. A caller of another tenant hears `NotFound`, as it would for something absent; policy ids are
   told only to callers of the owning tenant.
4. A decision is for a caller who stands at this moment: token, client and tenant are looked at
   anew each time, not as they were when the request came in.
5. Facts of tenants and sites are remembered only under one value of the revocation epoch, which
   every suspension and revocation raises; what was read while it moved is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn, Unpack

from audit.event import Outcome
from audit.log import Receipt
from gateway.authorization.recorder import Call, Details, Recorder, registered_purpose
from gateway.errors import Forbidden, NotFound
from gateway.federation.ports import FederationStore
from gateway.identity.ports import TenantStore
from gateway.identity.principal import Principal
from gateway.registry.records import Model, ModelVersion
from policies.engine import Decision, PolicyEngine
from policies.facts import (
    ContextFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    ResourceFacts,
    ServiceFacts,
    SiteFacts,
    TenantFacts,
    VerdictFacts,
)

PLATFORM_TENANT: Final = "platform"
CATEGORIES: Final = {
    "infer": "inference",
    "releaseOutput": "inference",
    "readMetadata": "registry",
    "downloadArtifact": "artifact",
    "uploadArtifact": "artifact",
    "promote": "release",
    "rollback": "release",
    "managePolicy": "policy",
    "reviewAudit": "audit",
    "exportAudit": "audit",
    "exportSubject": "privacy",
    "eraseSubject": "privacy",
    "startRound": "federation",
    "joinFederation": "federation",
    "administer": "administration",
}
"""Cedar action → category of its events."""
MAX_REMEMBERED: Final = 10_000
"""Tenants and sites kept between two epochs; above it the memory starts anew."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """Facts that were read under one epoch."""

    epoch: int
    tenants: dict[str, TenantFacts] = field(default_factory=dict)
    sites: dict[tuple[str, str], SiteFacts | None] = field(default_factory=dict)


class Guard:
    """Decides calls.

    Args:
        engine: Holds the policy sets.
        tenants: Where tenants are registered.
        federation: Where the sites are registered.
        recorder: Makes refusals durable.
        confirm: Raises `InvalidToken` for a caller who stands no more; may block.
        region: Where this gateway stands.
        epoch: The revocation epoch in force.
        solo: Whether the recorded solo mode of the one administrator is on.
    """

    def __init__(
        self,
        engine: PolicyEngine,
        tenants: TenantStore,
        federation: FederationStore,
        recorder: Recorder,
        *,
        confirm: Callable[[Principal], None],
        region: str,
        epoch: Callable[[], int],
        solo: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._tenants = tenants
        self._federation = federation
        self._recorder = recorder
        self._confirm = confirm
        self._region = region
        self._epoch = epoch
        self._solo = solo
        self._remembered = _Memory(-1)

    def tenant(self, tenant_id: str) -> TenantFacts:
        """Return the facts of a tenant.

        Raises:
            NotFound: There is none of that id.
        """
        memory = self._memory()
        facts = memory.tenants.get(tenant_id)
        if facts is None:
            tenant = self._tenants.get(tenant_id)
            if tenant is None:
                raise NotFound
            facts = TenantFacts(
                id=tenant.id,
                region=tenant.region,
                suspended=tenant.suspended,
                purposes=tenant.purposes,
            )
            memory.tenants[tenant_id] = facts
        return facts

    def platform(self) -> PlatformFacts:
        """Return the facts of the deployment."""
        return PlatformFacts(tenant=self.tenant(PLATFORM_TENANT))

    def model(self, model: Model) -> ModelFacts:
        """Return the facts of a model's name."""
        return ModelFacts(
            tenant=self.tenant(model.tenant),
            name=model.name,
            personal=model.personal,
            data_class=model.data_class,
            shared_with=model.shared_with,
        )

    def version(self, model: Model, version: ModelVersion) -> ModelVersionFacts:
        """Return the facts of a version; it counts as signed when its link was made."""
        return ModelVersionFacts(
            tenant=self.tenant(model.tenant),
            model=model.name,
            version=version.version,
            stage=version.state,
            signed=bool(version.link) and bool(version.owner_bundle),
            personal=model.personal,
            data_class=model.data_class,
            shared_with=model.shared_with,
        )

    def principal(self, principal: Principal) -> ServiceFacts:
        """Return the facts of a caller; a site's client has the id of its site."""
        return ServiceFacts(
            id=principal.client_id,
            tenant=self.tenant(principal.tenant),
            roles=principal.roles,
            purposes=principal.purposes,
            site=self._site(principal) if "site" in principal.roles else None,
        )

    def decide(
        self,
        call: Call,
        action: str,
        resource: ResourceFacts,
        *,
        verdict: VerdictFacts | None = None,
        approvals: int = 1,
        recipient: str | None = None,
    ) -> Decision:
        """Decide, without recording anything."""
        principal = call.principal
        context = ContextFacts(
            scopes=principal.scopes,
            binding=principal.binding,
            acr=principal.acr,
            auth_age=principal.auth_age,
            region=self._region,
            epoch=self._epoch(),
            purpose=call.purpose,
            verdict=verdict,
            approvals=approvals,
            solo=self._solo(),
            recipient=recipient,
        )
        return self._engine.decide(self.principal(principal), action, resource, context)

    def may_read(self, call: Call, about: ResourceFacts) -> bool:
        """Tell whether the caller may know of a thing; nothing is recorded. May block.

        Raises:
            InvalidToken: The caller stands no more.
        """
        self._confirm(call.principal)
        return self.decide(call, "readMetadata", about).allowed

    def require(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        *,
        approvals: int = 1,
        **details: Unpack[Details],
    ) -> Decision:
        """Decide, and record a refusal. A `recipient` among the details is part of the decision.

        Blocks, so it is called from threads.

        Raises:
            InvalidToken: The caller stands no more.
            NotFound: Refused, and the thing belongs to another tenant.
            Forbidden: Refused, and the thing belongs to the caller's tenant.
            EvidenceUnavailable: The refusal could not be recorded.
        """
        self._confirm(call.principal)
        decision = self.decide(
            call, action, about, approvals=approvals, recipient=details.get("recipient")
        )
        if not decision.allowed:
            self.refuse(call, action, about, decision, **details)
        return decision

    def permit(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        *,
        approvals: int = 1,
        **details: Unpack[Details],
    ) -> Decision:
        """Decide and record the decision either way; errors as of `require`."""
        decision = self.require(call, action, about, approvals=approvals, **details)
        self.record(call, action, "allow", decision, about, **details)
        return decision

    @contextmanager
    def witness(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        decision: Decision,
        **details: Unpack[Details],
    ) -> Iterator[str]:
        """Record an intent, let the block make the change, record how it ended.

        Yields:
            The id of the intent.

        Raises:
            EvidenceUnavailable: The intent could not be recorded, so the block did not run; or
                the result could not, so the change was made and must not be acknowledged.
        """
        planned: Details = {**details, "phase": "intent"}
        intent = self.record(call, action, "allow", decision, about, **planned)
        ended: Details = {**details, "phase": "result", "intent_id": intent.event_id}
        try:
            yield intent.event_id
        except Exception as fault:
            ended["reason"] = str(getattr(fault, "code", "fault"))
            self.record(call, action, "error", decision, about, **ended)
            raise
        self.record(call, action, "done", decision, about, **ended)

    def refuse(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        decision: Decision,
        **details: Unpack[Details],
    ) -> NoReturn:
        """Record a refusal and raise it; see `require`."""
        self.record(call, action, "deny", decision, about, **details)
        own = about.tenant.id == call.principal.tenant
        raise Forbidden(decision.policy_ids) if own else NotFound

    def record(
        self,
        call: Call,
        action: str,
        outcome: Outcome,
        decision: Decision | None,
        about: ResourceFacts,
        **details: Unpack[Details],
    ) -> Receipt:
        """Record what was decided or done about a thing, in the log of the caller's tenant.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        details.setdefault("resource", "::".join(about.uid))
        details.setdefault("purpose", registered_purpose(call.principal, call.purpose))
        details.setdefault("request_id", call.request_id)
        event = self._recorder.event_for(
            call.principal, action, outcome, decision, category=CATEGORIES[action], **details
        )
        return self._recorder.write(event)

    def _site(self, principal: Principal) -> SiteFacts | None:
        memory = self._memory()
        key = (principal.tenant, principal.client_id)
        if key in memory.sites:
            return memory.sites[key]
        site = self._federation.get_site(*key)
        facts = (
            SiteFacts(tenant=self.tenant(site.tenant), name=site.name, revoked=site.revoked)
            if site
            else None
        )
        memory.sites[key] = facts
        return facts

    def _memory(self) -> _Memory:
        """Return the memory of the epoch in force; ask for it before reading what it will hold.

        INVARIANT: a record goes into the memory of an epoch that was in force before it was read,
        so what an epoch took away is in no memory of that epoch or a later one.
        """
        epoch, memory = self._epoch(), self._remembered
        if epoch != memory.epoch or len(memory.tenants) + len(memory.sites) > MAX_REMEMBERED:
            memory = self._remembered = _Memory(epoch)
        return memory
