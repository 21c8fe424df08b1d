"""Federations: who may train together, and which sites take part.

Safety argument:
1. A site is known by its public key, unique over all tenants; its private key is never here.
2. Revoking returns after the store and the epoch changed, so no relay and no decision lets the site
   through any more, whether or not the coordinator answers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, LimitReached, NotFound
from gateway.federation.coordinator import Coordinator, present
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.facts import federation_facts, federation_resource
from gateway.federation.node_keys import canonical_node_key
from gateway.federation.ports import FederationStore
from gateway.federation.records import Federation, Site
from gateway.names import near, require_name
from gateway.pages import visible
from gateway.registry.ports import Registry
from gateway.registry.records import Upload
from gateway.registry.uploads import Uploads
from policies.facts import FederationFacts

MAX_SITES: Final = 200
"""Sites of one federation: each is an entity of every decision about it."""
MAX_CONFIG: Final = 16 << 10
"""Settings of a task: names and numbers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a convenor says about a new federation; see `records.Federation`."""

    name: str
    model: str
    task: str
    config: str
    quorum: int
    deadline_s: int


class Federations:
    """What a convenor does.

    Args:
        store: Federations, sites, runs.
        registry: Where the model of a federation must exist.
        uploads: Where held-out sets come from.
        guard: Decides.
        intents: Begin and end changes.
        coordinator: Runs the rounds; None when federation is off.
        revoked: Raises the revocation epoch.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: FederationStore,
        registry: Registry,
        uploads: Uploads,
        guard: Guard,
        intents: Intents,
        coordinator: Coordinator | None,
        *,
        revoked: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._registry = registry
        self._uploads = uploads
        self._guard = guard
        self._intents = intents
        self._coordinator = coordinator
        self._revoked = revoked
        self._clock = clock
        intents.register(
            Kind("create_federation", "startRound", _details, self._finish_create),
            Kind("add_site", "startRound", _details, self._finish_add),
            Kind("revoke_site", "startRound", _details, self._finish_revoke),
        )

    def create(self, call: Call, plan: Plan, calibration: str | None) -> Federation:
        """Create a federation without sites.

        Args:
            call: Who asks.
            plan: What it is to be.
            calibration: Id of the upload that screens every result, or None; it is used up.

        Raises:
            InvalidRequest: A field breaks its rule, or the model does not exist.
            NotFound: The upload is absent, or another client's.
            AlreadyExists: The name is taken.
            Forbidden: Policy says no.
        """
        _check_plan(plan)
        if calibration is None:
            return self._create(call, plan, None)
        with self._uploads.using(call, calibration) as (held_out,):
            return self._create(call, plan, held_out)

    def _create(self, call: Call, plan: Plan, held_out: Upload | None) -> Federation:
        tenant = call.principal.tenant
        federation = Federation(
            tenant=tenant,
            name=plan.name,
            model=plan.model,
            sites=(),
            task=plan.task,
            config=plan.config,
            quorum=plan.quorum,
            deadline_s=plan.deadline_s,
            created=int(self._clock()),
            created_by=call.principal.client_id,
            calibration=held_out.payload if held_out else None,
        )
        decision = self._guard.require(
            call, "startRound", self.facts(federation), new=True, reason="create"
        )
        if self._registry.get_model(tenant, plan.model) is None:
            raise InvalidRequest("`model` must be registered first")
        if self._store.get_federation(tenant, plan.name) is not None:
            raise AlreadyExists  # before the intent: its finisher takes what is there for its own
        row = {"federation": plan.name, "upload": held_out.id if held_out else ""}
        with self._intents.changing("create_federation", tenant, row, by_call(call, decision)):
            self._store.add_federation(federation)
            self._uploads.spend(tenant, row["upload"])
        return federation

    def get(self, call: Call, name: str) -> Federation:
        """Return a federation.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        federation = self._store.get_federation(call.principal.tenant, name)
        facts = self.facts(federation) if federation is not None else None
        if not self._guard.may_read(call, facts) or federation is None:
            raise NotFound
        return federation

    def federations(
        self, call: Call, *, after: str, limit: int
    ) -> tuple[list[Federation], str | None]:
        """Return the federations that the caller may read, by name, and the next cursor."""
        tenant = call.principal.tenant

        def page(after: str, limit: int) -> list[Federation]:
            return self._store.list_federations(tenant, after=after, limit=limit)

        def may_see(federation: Federation) -> bool:
            return self._guard.may_read(call, self.facts(federation))

        return visible(page, lambda federation: federation.name, after, limit, may_see)

    def add_site(self, call: Call, federation: str, name: str, public_key: str) -> Site:
        """Register a site if it is new, and put it on the allow-list.

        Raises:
            NotFound: The federation is absent, or not for this caller.
            InvalidRequest: The name or the key breaks its rule.
            AlreadyExists: The name belongs to another key, or the key to another site.
            CoordinatorUnavailable: The node could not be registered.
        """
        found = self.find(call, federation)
        facts = self.facts(found)
        decision = self._guard.require(call, "startRound", facts, reason="add_site")
        require_name("name", name)
        key = canonical_node_key(public_key)
        if len(found.sites) >= MAX_SITES:
            raise LimitReached("the federation has its most sites")
        row = {"federation": found.name, "site": name, "key": key}
        with self._intents.changing("add_site", found.tenant, row, by_call(call, decision)):
            site = self._register(call.principal.tenant, name, key)
            self._store.allow_site(found.tenant, found.name, name)
            self._revoked()  # facts that name the sites are stale
        return site

    def revoke_site(self, call: Call, federation: str, name: str) -> None:
        """Shut a site out for ever, from every federation of the tenant.

        Raises:
            NotFound: The federation is absent, or the site is not one of its sites.
            Forbidden: Policy says no.
        """
        found = self.find(call, federation)
        facts = self.facts(found)
        decision = self._guard.require(call, "startRound", facts, reason="revoke_site")
        site = self._store.get_site(found.tenant, name)
        if site is None or name not in found.sites:
            what = "the federation has no site of this name"
            raise NotFound(what).nearest("site", near(name, sorted(found.sites)))
        row = {"federation": found.name, "site": name}
        with self._intents.changing("revoke_site", found.tenant, row, by_call(call, decision)):
            self._store.revoke_site(site.tenant, name)
            self._revoked()
        if self._coordinator is not None:
            with suppress(CoordinatorUnavailable):  # the relay refuses the site already
                self._coordinator.remove_node(site.tenant, site.node_id)

    def sites(self, call: Call, federation: str) -> list[Site]:
        """Return the sites on the allow-list.

        Raises:
            NotFound: The federation is absent, or not for this caller.
        """
        found = self.get(call, federation)
        sites = (self._store.get_site(found.tenant, name) for name in found.sites)
        return [site for site in sites if site is not None]

    def _register(self, tenant: str, name: str, key: str) -> Site:
        known = self._store.get_site(tenant, name)
        if known is not None:
            if known.public_key != key or known.revoked:
                raise AlreadyExists
            return known
        if self._store.site_by_key(key) is not None:
            # Whose key it is stays untold: the site may be another tenant's.
            raise AlreadyExists
        site = Site(
            tenant=tenant,
            name=name,
            public_key=key,
            node_id=present(self._coordinator).add_node(tenant, key),
            created=int(self._clock()),
        )
        self._store.add_site(site)
        return site

    def find(self, call: Call, name: str) -> Federation:
        """Return a federation of the caller's tenant undecided: the use case decides next.

        Raises:
            NotFound: Absent, which was recorded.
        """
        federation = self._store.get_federation(call.principal.tenant, name)
        if federation is None:
            self._guard.absent(call, "startRound")
        return federation

    def facts(self, federation: Federation) -> FederationFacts:
        """Return what policy may know of a federation."""
        return federation_facts(federation, self._guard.tenant)

    def _finish_create(self, pending: Pending) -> Settled:
        if self._store.get_federation(pending.tenant, pending.facts["federation"]) is None:
            return UNDONE
        self._uploads.spend(pending.tenant, pending.facts["upload"])
        return FINISHED

    def _finish_add(self, pending: Pending) -> Settled:
        """A site that was registered is let in; one that was not must be added again."""
        facts = pending.facts
        site = self._store.get_site(pending.tenant, facts["site"])
        if site is None or site.revoked or site.public_key != facts["key"]:
            return UNDONE
        self._store.allow_site(pending.tenant, facts["federation"], facts["site"])
        self._revoked()
        return FINISHED

    def _finish_revoke(self, pending: Pending) -> Settled:
        """A site that was to be shut out is shut out: that is for ever anyway."""
        self._store.revoke_site(pending.tenant, pending.facts["site"])
        self._revoked()
        return FINISHED


def _check_plan(plan: Plan) -> None:
    for field, value in (("name", plan.name), ("model", plan.model), ("task", plan.task)):
        require_name(field, value)
    if not 1 <= plan.quorum <= MAX_SITES:
        raise InvalidRequest(f"`quorum` must be 1 to {MAX_SITES}")
    if not 1 <= plan.deadline_s <= 24 * 3600:
        raise InvalidRequest("`deadline_s` must be 1 second to 1 day")
    try:
        settings = msgspec.json.decode(plan.config) if len(plan.config) <= MAX_CONFIG else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise InvalidRequest("`config` must be a JSON object of at most 16 KiB")


def _details(pending: Pending) -> Details:
    facts = pending.facts
    return {
        "reason": "create" if pending.kind == "create_federation" else pending.kind,
        "resource": federation_resource(pending.tenant, facts["federation"]),
    }
