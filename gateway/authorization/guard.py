"""The one place where a call is decided, and where a refusal is recorded.

Safety argument:
1. Every use case calls `Guard.require` before it reads or changes anything that belongs to a
   tenant, and goes on only with an allowing decision. Work that waited, for bytes or for a worker,
   calls it once more.
2. A refusal is durable before the caller hears of it.
3. Absent and forbidden look alike: whoever may not know of a thing hears `NotFound`, as for one
   that is absent. `Forbidden`, which names policies, is for callers of the owning tenant who may
   read the thing's metadata, and about what everybody knows to exist (a log, a policy set). Where a
   refusal is recorded, asking for what is absent is recorded too (`absent`): it takes as long, and
   fails in the same way where nothing can be recorded.
4. A decision is for a caller who is valid at this moment: token, client and tenant are looked at
   anew each time, not as they were when the request came in.
5. Facts of tenants and sites are remembered under one value of the revocation epoch only
   (`gateway.epoch_memo`), which every suspension and revocation raises; so are those of a caller
   with the circumstances of its call. Of these a caller who chooses ever new ones pushes out its
   own and its tenant's (`policies.fair_memory`).
6. A person whose sign-in is too weak or too old hears how to sign in (RFC 9470), and only where the
   policies would then allow it and it may hear of the thing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Final, NoReturn, TypeAlias, Unpack

from audit.event import PLATFORM_TENANT, Outcome
from audit.log import Receipt
from gateway.authorization.recorder import Call, Details, Recorder, own_ids
from gateway.authorization.step_up import step_up
from gateway.epoch_memo import UNKNOWN, EpochMemo
from gateway.errors import Forbidden, NotFound, StepUpRequired
from gateway.identity.ports import TenantStore
from gateway.identity.principal import Principal
from policies.engine import Decision, PolicyEngine
from policies.facts import (
    ContextFacts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    PrincipalFacts,
    ResourceFacts,
    ServiceFacts,
    SiteFacts,
    TenantFacts,
    UserFacts,
    VerdictFacts,
)
from policies.fair_memory import FairMemory

MAX_ASKERS: Final = 4096
"""Callers with a purpose and a verdict whose facts are kept."""

RESCUE: Final = "rescue_policies"
"""Reason of `administer` that takes two whatever the operator says: it overrides a tenant's set."""

HIDDEN: Final = (ModelFacts, ModelVersionFacts, FederationFacts)
"""Kinds of things whose existence is told only to those who may read their metadata."""
SiteOf = Callable[[TenantFacts, str], SiteFacts | None]
"""(tenant, client id) → the site whose client it is, or None. May block."""
_Asker: TypeAlias = tuple[Principal, PrincipalFacts, ContextFacts]


class Guard:
    """Decides calls.

    Args:
        engine: Holds the policy sets.
        tenants: Where tenants are registered.
        site_of: Finds the site of a client that has the role `site`.
        recorder: Makes refusals durable.
        confirm: Raises `InvalidToken` for a caller who is no longer valid; may block.
        region: Where this gateway stands.
        epoch: The revocation epoch in force.
        solo: Whether the recorded solo mode of the one administrator is on.
        four_eyes: Reasons of `administer` for which the operator asks for two people.
    """

    def __init__(
        self,
        engine: PolicyEngine,
        tenants: TenantStore,
        recorder: Recorder,
        *,
        site_of: SiteOf,
        confirm: Callable[[Principal], None],
        region: str,
        epoch: Callable[[], int],
        solo: Callable[[], bool],
        four_eyes: frozenset[str] = frozenset(),
    ) -> None:
        self._engine = engine
        self._tenants = tenants
        self._site_of = site_of
        self._recorder = recorder
        self._confirm = confirm
        self._region = region
        self._epoch = epoch
        self._solo = solo
        self._four_eyes = four_eyes
        self._tenant_facts: EpochMemo[str, TenantFacts] = EpochMemo(epoch)
        self._askers: FairMemory[_Asker] = FairMemory(MAX_ASKERS)
        self._known = self._askers.known
        self._caller_facts: EpochMemo[tuple[object, ...], PrincipalFacts] = EpochMemo(epoch)
        self._site_facts: EpochMemo[tuple[str, str], SiteFacts] = EpochMemo(epoch)

    def tenant(self, tenant_id: str) -> TenantFacts:
        """Return the facts of a tenant.

        Raises:
            NotFound: There is none of that id.
        """
        facts = self._tenant_facts.look_up(tenant_id, lambda: self._read_tenant(tenant_id))
        if facts is None:
            raise NotFound
        return facts

    def has_tenant(self, tenant_id: str) -> bool:
        """Tell whether there is a tenant of that id; who may hear of it is decided first."""
        return (
            self._tenant_facts.look_up(tenant_id, lambda: self._read_tenant(tenant_id)) is not None
        )

    def platform(self) -> PlatformFacts:
        """Return the facts of the deployment."""
        return PlatformFacts(tenant=self.tenant(PLATFORM_TENANT))

    def principal(self, principal: Principal) -> PrincipalFacts:
        """Return the facts of a caller; a site's client has the id of its site."""
        memory = self._caller_facts.now()
        key = (principal.client_id, principal.tenant, principal.roles, principal.purposes)
        facts = memory.get(key)
        if facts is None or facts is UNKNOWN:
            facts = self._read_principal(principal)
            memory.keep(key, facts)
        return facts

    def _read_principal(self, principal: Principal) -> PrincipalFacts:
        who = principal.client_id
        tenant, roles = self.tenant(principal.tenant), principal.roles
        if principal.kind == "user":
            return UserFacts(id=who, tenant=tenant, roles=roles, purposes=principal.purposes)
        site = self._site(principal) if "site" in roles else None
        return ServiceFacts(
            id=who, tenant=tenant, roles=roles, purposes=principal.purposes, site=site
        )

    def moment(self) -> Hashable:
        """Return what changes with every revocation and with every policy set that is published."""
        return self._epoch(), self._engine.generation

    def decide(
        self,
        call: Call,
        action: str,
        resource: ResourceFacts,
        *,
        verdict: VerdictFacts | None = None,
        approvals: int = 1,
        four_eyes: bool = False,
        recipient: str | None = None,
    ) -> Decision:
        """Decide, without recording anything; who agrees to another's request counts as two."""
        principal, purpose = call.principal, call.purpose
        epoch, solo = self._epoch(), self._solo()
        if call.agreed is not None:
            approvals = max(approvals, len({call.agreed.by, principal.client_id}))
        key = (id(principal), purpose, verdict, approvals, four_eyes, recipient, epoch, solo)
        asker = self._known.get(key)
        if asker is None or asker[0] is not principal:
            context = self._context(
                call, epoch, solo, verdict, approvals, recipient, four_eyes=four_eyes
            )
            asker = principal, self.principal(principal), context
            self._askers.keep(principal.tenant, principal.client_id, key, asker)
        return self._engine.decide(asker[1], action, resource, asker[2])

    def circumstances(
        self, call: Call, *, verdict: VerdictFacts | None = None, recipient: str | None = None
    ) -> ContextFacts:
        """Return what `decide` would hold a call against, for explaining a decision."""
        return self._context(call, self._epoch(), self._solo(), verdict, 1, recipient)

    def _context(
        self,
        call: Call,
        epoch: int,
        solo: bool,
        verdict: VerdictFacts | None,
        approvals: int,
        recipient: str | None,
        *,
        four_eyes: bool = False,
    ) -> ContextFacts:
        principal = call.principal
        return ContextFacts(
            scopes=principal.scopes,
            binding=principal.binding,
            acr=principal.acr,
            auth_age=principal.auth_age,
            region=self._region,
            epoch=epoch,
            purpose=call.purpose,
            verdict=verdict,
            approvals=approvals,
            solo=solo,
            four_eyes=four_eyes,
            recipient=recipient,
        )

    def confirm(self, call: Call) -> None:
        """Look whether the caller is valid at this moment; may block.

        Raises:
            InvalidToken: The caller is no longer valid.
        """
        self._confirm(call.principal)

    def wants_two(self, action: str, reason: str) -> bool:
        """Tell whether the operator asks for two people for such a change."""
        return action == "administer" and (reason == RESCUE or reason in self._four_eyes)

    def may_read(self, call: Call, about: ResourceFacts | None) -> bool:
        """Tell whether there is a thing that the caller may know of; nothing is recorded.

        May block.

        Args:
            call: Who asks.
            about: The thing, or None where there is none.

        Raises:
            InvalidToken: The caller is no longer valid.
        """
        self._confirm(call.principal)
        return about is not None and self.decide(call, "readMetadata", about).allowed

    def absent(self, call: Call, action: str) -> NoReturn:
        """Record that the caller asked for what is absent, and raise what a refusal raises.

        What it asked for is the caller's own text and stays out of the log.

        Raises:
            InvalidToken: The caller is no longer valid.
            NotFound: Otherwise.
            EvidenceUnavailable: It could not be recorded.
        """
        self._confirm(call.principal)
        self._recorder.record(call, action, "deny", None, reason=NotFound.code)
        raise NotFound

    def require(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        *,
        approvals: int = 1,
        new: bool = False,
        **details: Unpack[Details],
    ) -> Decision:
        """Decide, and record a refusal. Blocks, so it is called from threads.

        Args:
            call: Who asks.
            action: The Cedar action.
            about: What it would be done to.
            approvals: Different principals who stand behind the change.
            new: The thing is to be made by this call: nobody learns from a refusal that it exists.
            **details: For the record; a `recipient` is part of the decision.

        Raises:
            InvalidToken: The caller is no longer valid.
            NotFound: Refused, and the caller may not know that the thing exists.
            Forbidden: Refused, and the caller may know of it.
            EvidenceUnavailable: The refusal could not be recorded.
        """
        self._confirm(call.principal)
        decision = self.decide(
            call,
            action,
            about,
            approvals=approvals,
            four_eyes=self.wants_two(action, details.get("reason", "")),
            recipient=details.get("recipient"),
        )
        if not decision.allowed:
            self.refuse(call, action, about, decision, new=new, **details)
        return decision

    def permit(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        *,
        new: bool = False,
        **details: Unpack[Details],
    ) -> Decision:
        """Decide and record the decision either way; arguments and errors as of `require`."""
        decision = self.require(call, action, about, new=new, **details)
        self.record(call, action, "allow", decision, about, **details)
        return decision

    def refuse(
        self,
        call: Call,
        action: str,
        about: ResourceFacts,
        decision: Decision,
        *,
        new: bool = False,
        **details: Unpack[Details],
    ) -> NoReturn:
        """Record a refusal and raise it; see `require`."""
        self.record(call, action, "deny", decision, about, **details)
        if self._may_know(call, about, new=new):
            ids = decision.policy_ids
            raise self._step_up(call, action, about, ids, **details) or Forbidden(ids)
        raise NotFound

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
        tenant = call.principal.tenant
        if about.tenant.id != tenant and decision is not None:
            # The owner's policies are the owner's: their names are in no other tenant's log.
            details.setdefault("policy_ids", own_ids(decision.policy_ids, tenant))
        return self._recorder.record(call, action, outcome, decision, **details)

    def tell(
        self, action: str, outcome: Outcome, decision: Decision, **details: Unpack[Details]
    ) -> Receipt:
        """Record in the log of another tenant what was done with what is its own.

        Args:
            action: The Cedar action.
            outcome: As of `record`.
            decision: The decision that led here.
            **details: Whose log it is (`tenant`), which tenant acted (`actor_ref`), and what.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        details.setdefault("policy_ids", own_ids(decision.policy_ids, details["tenant"]))
        event = self._recorder.event_for(None, action, outcome, None, **details)
        return self._recorder.write(event)

    def _step_up(
        self, call: Call, action: str, about: ResourceFacts, ids: tuple[str, ...], **details: Any
    ) -> StepUpRequired | None:
        def allows(caller: Principal) -> bool:
            asked, reason = replace(call, principal=caller), details.get("reason", "")
            return self.decide(
                asked, action, about, four_eyes=self.wants_two(action, reason),
                recipient=details.get("recipient"),
            ).allowed  # fmt: skip

        return step_up(call.principal, allows, ids)

    def _may_know(self, call: Call, about: ResourceFacts, *, new: bool) -> bool:
        """Tell whether the caller may learn that the thing exists (claim 3)."""
        if about.tenant.id != call.principal.tenant:
            return False
        if new or not isinstance(about, HIDDEN):
            return True
        return self.decide(call, "readMetadata", about).allowed

    def _read_tenant(self, tenant_id: str) -> TenantFacts | None:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return None
        return TenantFacts(
            id=tenant.id,
            region=tenant.region,
            suspended=tenant.suspended,
            purposes=tenant.purposes,
        )

    def _site(self, principal: Principal) -> SiteFacts | None:
        tenant, client = principal.tenant, principal.client_id
        return self._site_facts.look_up(
            (tenant, client), lambda: self._site_of(self.tenant(tenant), client)
        )
