"""Sharing a model with another tenant: its owner offers, the other accepts, either ends it.

Safety argument.
1. Nothing is shared before both consent. What was accepted is the offer that was looked at: an
   offer has an id, other terms have another one, and an id that was ended is never valid again.
2. Each side decides by its own policies: the owner about its model (`uploadArtifact`), the other
   about the name that it takes into use (`uploadArtifact`, on `owner~model` of its own).
3. Either side ends it at once: the epoch is raised before the command returns, so nothing that is
   remembered allows after that (`gateway.epoch_memo`). Offering other terms ends what stood.
4. Each change is in the log of whoever made it. The other side is told in its own log of what both
   stand in: an acceptance and an end of what was accepted. It is told the tenant, not who there.
   An offer alone writes nothing into another tenant's log: nobody fills it by offering.
5. Nothing is granted to a name that nobody holds: whoever was given that name later would find the
   grant, and a typing error would be noticed when the partner calls, not when it is made. Who may
   share learns of a name that it gives whether a tenant holds it, and of no other: what may have
   been meant is told out of the names that its own models are shared with. Trying names out leaves
   a refusal in the log (`unknown_tenant`). Who may not share learns nothing: the decision is first.
6. An offer that is absent and one that is another tenant's look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import by_call
from gateway.authorization.recorder import Call
from gateway.errors import InvalidRequest, LimitReached, NotFound, StateConflict
from gateway.names import MAX_COMPARED, near, shared_name
from gateway.pages import every, visible
from gateway.registry.consent import ended
from gateway.registry.facts import model_facts
from gateway.registry.ports import Registry
from gateway.registry.records import Model, Sharing
from gateway.registry.sharing_evidence import SharingKinds, facts_of
from gateway.registry.terms import Terms, check_terms
from policies.engine import Decision
from policies.facts import ModelFacts

MAX_SHARED: Final = 64
"""Tenants that one model is shared with: each is an entity of decisions about it."""
UNKNOWN_TENANT: Final = "unknown_tenant"
"""Reason of the record of a refusal."""


class Sharings:
    """Offers, accepts and ends.

    Args:
        registry: The store.
        guard: Decides.
        intents: Begin and end changes.
        changed: Raises the epoch under which routes and decisions are remembered.
        clock: Unix seconds.
        new_id: Draws the id of an offer.
    """

    def __init__(
        self,
        registry: Registry,
        guard: Guard,
        intents: Intents,
        *,
        changed: Callable[[], object],
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._guard = guard
        self._intents = intents
        self._changed = changed
        self._clock = clock
        self._new_id = new_id
        intents.register(*SharingKinds(registry, changed).kinds)

    def offer(self, call: Call, name: str, terms: Terms) -> Sharing:
        """Offer a model to a tenant, in the place of what it was offered or shares by now.

        Raises:
            NotFound: The model is absent, or not for this caller.
            InvalidRequest: A field breaks its rule, or names what does not exist.
            LimitReached: It is shared with as many tenants as it can be.
            Forbidden: Policy says no.
        """
        check_terms(terms, call.principal.tenant, self._clock())
        model, facts, decision = self._mine(call, name, "offer_sharing")
        self._check_held(call, decision, facts, terms.tenant)
        self._check_room(model, terms)
        before = self._registry.get_sharing(model.tenant, name, terms.tenant)
        sharing = Sharing(
            id=self._new_id(),
            owner=model.tenant,
            model=name,
            tenant=terms.tenant,
            versions=terms.versions,
            infer=terms.infer,
            download=terms.download,
            purposes=terms.purposes,
            until=terms.until,
            offered=int(self._clock()),
            offered_by=call.principal.client_id,
        )
        told = terms.tenant if before is not None and before.accepted is not None else ""
        changed = facts_of(sharing, told)
        by = by_call(call, decision)
        with self._intents.changing("offer_sharing", model.tenant, changed, by):
            self._registry.offer(sharing)
            self._changed()
        return sharing

    def accept(self, call: Call, owner: str, name: str, offer_id: str) -> Sharing:
        """Take an offer; from then on the model is shared.

        Args:
            call: Who accepts, of the tenant that it was offered to.
            owner: Whose model it is.
            name: Name of the model.
            offer_id: Of the offer that was looked at.

        Raises:
            NotFound: There is no such offer to this tenant.
            StateConflict: It was made anew with other terms meanwhile.
            Forbidden: Policy says no.
        """
        sharing, decision = self._theirs(call, owner, name, "accept_sharing")
        if sharing.id != offer_id:
            raise StateConflict
        if sharing.accepted is not None:
            return sharing
        taken = replace(sharing, accepted=int(self._clock()), accepted_by=call.principal.client_id)
        changed, by = facts_of(taken, owner), by_call(call, decision)
        with self._intents.changing("accept_sharing", taken.tenant, changed, by):
            self._registry.accept(taken)
            self._changed()
        return taken

    def withdraw(self, call: Call, name: str, tenant: str) -> None:
        """End what a model is shared with a tenant, or offered to it; for its owner.

        Raises:
            NotFound: The model is absent, not for this caller, or not shared with that tenant.
            Forbidden: Policy says no.
        """
        model, _, decision = self._mine(call, name, "end_sharing")
        sharing = next((one for one in model.sharings if one.tenant == tenant), None)
        if sharing is None:
            raise NotFound
        self._end(call, sharing, decision, sharing.tenant)

    def decline(self, call: Call, owner: str, name: str) -> None:
        """End what is shared with the caller's tenant, or refuse an offer.

        Raises:
            NotFound: There is no such offer to this tenant.
            Forbidden: Policy says no.
        """
        sharing, decision = self._theirs(call, owner, name, "end_sharing", late=True)
        self._end(call, sharing, decision, owner)

    def given(self, call: Call, name: str) -> list[Sharing]:
        """Return with whom a model of the caller's tenant is shared or offered to, by tenant.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self._registry.get_model(call.principal.tenant, name)
        facts = model_facts(model, self._guard.tenant) if model is not None else None
        if not self._guard.may_read(call, facts) or model is None:
            raise NotFound
        return sorted(model.sharings, key=lambda one: one.tenant)

    def received(self, call: Call, *, after: str, limit: int) -> tuple[list[Sharing], str | None]:
        """Return what is shared with or offered to the caller's tenant, and the next cursor.

        A cursor is the name `owner~model`.
        """
        tenant = call.principal.tenant

        def page(after: str, limit: int) -> list[Sharing]:
            owner, _, model = after.partition("~")
            return self._registry.shared_to(tenant, after=(owner, model), limit=limit)

        def may_see(sharing: Sharing) -> bool:
            if ended(sharing, self._clock()):
                return False
            facts = self._border(call, sharing)
            return facts is not None and self._guard.may_read(call, facts)

        return visible(page, lambda one: shared_name(one.owner, one.model), after, limit, may_see)

    def received_from(self, call: Call, owner: str, name: str) -> Sharing:
        """Return what is shared with or offered to the caller's tenant of one model.

        Raises:
            NotFound: There is no such offer, or not for this caller.
        """
        sharing = self._registry.get_sharing(owner, name, call.principal.tenant)
        stands = sharing is not None and not ended(sharing, self._clock())
        facts = self._border(call, sharing) if sharing is not None and stands else None
        if not self._guard.may_read(call, facts) or sharing is None:
            raise NotFound
        return sharing

    def _mine(self, call: Call, name: str, reason: str) -> tuple[Model, ModelFacts, Decision]:
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            self._guard.absent(call, "uploadArtifact")
        facts = model_facts(model, self._guard.tenant)
        decision = self._guard.require(call, "uploadArtifact", facts, model_id=name, reason=reason)
        return model, facts, decision

    def _theirs(
        self, call: Call, owner: str, name: str, reason: str, *, late: bool = False
    ) -> tuple[Sharing, Decision]:
        sharing = self._registry.get_sharing(owner, name, call.principal.tenant)
        facts = self._border(call, sharing) if sharing is not None else None
        if sharing is None or facts is None or (ended(sharing, self._clock()) and not late):
            self._guard.absent(call, "uploadArtifact")
        called = shared_name(owner, name)
        decision = self._guard.require(
            call, "uploadArtifact", facts, model_id=called, reason=reason
        )
        return sharing, decision

    def _border(self, call: Call, sharing: Sharing) -> ModelFacts | None:
        """Return the facts of `owner~model` as a name that the caller's tenant has."""
        model = self._registry.get_model(sharing.owner, sharing.model)
        if model is None or sharing.offered < model.created:
            return None
        return ModelFacts(
            tenant=self._guard.tenant(call.principal.tenant),
            name=shared_name(sharing.owner, sharing.model),
            personal=model.personal,
            data_class=model.data_class,
        )

    def _end(self, call: Call, sharing: Sharing, decision: Decision, other: str) -> None:
        told = other if sharing.accepted is not None else ""
        changed, by = facts_of(sharing, told), by_call(call, decision)
        with self._intents.changing("end_sharing", call.principal.tenant, changed, by):
            self._registry.end(sharing)
            self._changed()

    def _check_room(self, model: Model, terms: Terms) -> None:
        for version in sorted(terms.versions):
            if self._registry.get_version(model.tenant, model.name, version) is None:
                raise InvalidRequest(f"`versions` names one that the model lacks: `{version}`")
        others = [one for one in model.sharings if one.tenant != terms.tenant]
        if len(others) >= MAX_SHARED:
            what = f"a model is shared with up to {MAX_SHARED} tenants: end one of them first"
            raise LimitReached(what)

    def _check_held(self, call: Call, decision: Decision, about: ModelFacts, tenant: str) -> None:
        """Refuse to share with a tenant that does not exist (claim 5)."""
        if self._guard.has_tenant(tenant):
            return
        named = {"model_id": about.name, "reason": UNKNOWN_TENANT}
        self._guard.record(call, "uploadArtifact", "deny", decision, about, **named)  # type: ignore[arg-type]
        meant = near(tenant, sorted(set(self._partners(about.tenant.id))))
        what = "`tenant` names a tenant that does not exist"
        raise InvalidRequest(what).nearest("tenant", dict.fromkeys(meant), known=frozenset())

    def _partners(self, tenant: str) -> Iterator[str]:
        """Yield the tenants that models of this one are shared with."""
        models = every(
            lambda after, limit: self._registry.list_models(tenant, after=after, limit=limit),
            lambda model: model.name,
            "",
        )
        for model in islice(models, MAX_COMPARED):
            yield from (sharing.tenant for sharing in model.sharings)
