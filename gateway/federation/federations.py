"""Federations: who may train together, which sites take part, and the runs.

Safety argument:
1. A run reaches only sites on the federation's allow-list that are not revoked.
2. A site is known by its public key, unique over all tenants; its private key is never here.
3. Revoking returns after the store and the epoch changed, so no relay and no decision lets the site
   through any more, whether or not the coordinator answers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call, registered_purpose
from gateway.errors import AlreadyExists, InvalidRequest, LimitReached, NotFound
from gateway.federation.coordinator import Coordinator, RunEvent, RunOrder
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.node_keys import canonical_node_key
from gateway.federation.ports import FederationStore
from gateway.federation.records import Federation, Run, Site
from gateway.federation.run_follower import RunFollower
from gateway.names import NAME, VERSION
from gateway.registry.catalogue import PAGE
from gateway.registry.ports import Registry
from gateway.registry.records import SealedPayload
from policies.facts import FederationFacts

MAX_SITES: Final = 200
"""Sites of one federation: each is an entity of every decision about it."""
MAX_ROUNDS: Final = 1_000
MAX_CONFIG: Final = 16 << 10
"""Settings of a task: names and numbers."""
MAX_UNFINISHED: Final = 4
"""Runs of one federation under way; each costs processes at every site."""


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
        guard: Decides and records.
        coordinator: Runs the rounds; None when federation is off.
        follower: Follows each started run; None when federation is off.
        revoked: Raises the revocation epoch.
        clock: Unix seconds.
        new_id: Gives run ids that ascend with time.
    """

    def __init__(
        self,
        store: FederationStore,
        registry: Registry,
        guard: Guard,
        coordinator: Coordinator | None,
        *,
        follower: RunFollower | None,
        revoked: Callable[[], object],
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._registry = registry
        self._guard = guard
        self._coordinator = coordinator
        self._follower = follower
        self._revoked = revoked
        self._clock = clock
        self._new_id = new_id

    def create(self, call: Call, plan: Plan, calibration: SealedPayload | None) -> Federation:
        """Create a federation without sites.

        Raises:
            InvalidRequest: A field breaks its rule, or the model does not exist.
            AlreadyExists: The name is taken.
            Forbidden: Policy says no.
        """
        _check_plan(plan)
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
            calibration=calibration,
        )
        self._guard.permit(call, "startRound", self._facts(federation), reason="create")
        if self._registry.get_model(tenant, plan.model) is None:
            raise InvalidRequest("`model` must be registered first")
        self._store.add_federation(federation)
        return federation

    def get(self, call: Call, name: str) -> Federation:
        """Return a federation.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        federation = self._find(call, name)
        if not self._guard.may_read(call, self._facts(federation)):
            raise NotFound
        return federation

    def federations(
        self, call: Call, *, after: str, limit: int
    ) -> tuple[list[Federation], str | None]:
        """Return the federations that the caller may read, by name, and the next cursor."""
        page = self._store.list_federations(call.principal.tenant, after=after, limit=limit)
        readable = [
            federation for federation in page if self._guard.may_read(call, self._facts(federation))
        ]
        return readable, page[-1].name if len(page) == limit else None

    def add_site(self, call: Call, federation: str, name: str, public_key: str) -> Site:
        """Register a site if it is new, and put it on the allow-list.

        Raises:
            NotFound: The federation is absent, or not for this caller.
            InvalidRequest: The name or the key breaks its rule.
            AlreadyExists: The name belongs to another key, or the key to another site.
            CoordinatorUnavailable: The node could not be registered.
        """
        found = self._find(call, federation)
        if NAME.match(name) is None:
            raise InvalidRequest("`name` must be 1 to 63 of a-z, 0-9, dot, dash, underscore")
        key = canonical_node_key(public_key)
        if len(found.sites) >= MAX_SITES:
            raise LimitReached("the federation has its most sites")
        facts = self._facts(found)
        decision = self._guard.require(call, "startRound", facts, reason="add_site")
        with self._guard.witness(call, "startRound", facts, decision, reason="add_site"):
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
        found = self._find(call, federation)
        site = self._store.get_site(found.tenant, name)
        if site is None or name not in found.sites:
            raise NotFound
        facts = self._facts(found)
        decision = self._guard.require(call, "startRound", facts, reason="revoke_site")
        with self._guard.witness(call, "startRound", facts, decision, reason="revoke_site"):
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

    def start(self, call: Call, federation: str, version: str, rounds: int) -> Run:
        """Start a run whose result is published as `version`.

        Raises:
            NotFound: The federation is absent, or not for this caller.
            InvalidRequest: A field breaks its rule, or fewer sites than the quorum are left.
            AlreadyExists: The version name is taken.
            CoordinatorUnavailable: The run could not be started; nothing runs.
        """
        found = self._find(call, federation)
        facts = self._facts(found)
        decision = self._guard.require(call, "startRound", facts)
        sites = [site for site in self.sites(call, federation) if not site.revoked]
        self._check_start(found, sites, version, rounds)
        run = Run(
            id=self._new_id(),
            tenant=found.tenant,
            federation=found.name,
            version=version,
            rounds=rounds,
            state="starting",
            started=int(self._clock()),
            started_by=call.principal.client_id,
            purpose=registered_purpose(call.principal, call.purpose),
        )
        with self._guard.witness(
            call, "startRound", facts, decision, model_id=found.model, model_version=version
        ):
            run = self._launch(run, found, sites)
        if self._follower is not None:
            self._follower.start(run)
        return run

    def run(self, call: Call, federation: str, run_id: str) -> Run:
        """Return a run.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        self.get(call, federation)
        run = self._store.get_run(call.principal.tenant, run_id)
        if run is None or run.federation != federation:
            raise NotFound
        return run

    def runs(self, call: Call, federation: str, *, after: str, limit: int) -> list[Run]:
        """Return the runs of a federation, oldest first.

        Raises:
            NotFound: The federation is absent, or not for this caller.
        """
        found = self.get(call, federation)
        return self._store.list_runs(found.tenant, found.name, after=after, limit=limit)

    def steps(
        self, call: Call, federation: str, run_id: str, *, after: int
    ) -> tuple[Run, list[RunEvent]]:
        """Return a run and those of its recorded steps that this process saw after a cursor.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        run = self.run(call, federation, run_id)
        return run, self._follower.steps(run_id, after) if self._follower else []

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
            node_id=self._require_coordinator().add_node(tenant, key),
            created=int(self._clock()),
        )
        self._store.add_site(site)
        return site

    def _launch(self, run: Run, federation: Federation, sites: list[Site]) -> Run:
        self._store.add_run(run)
        try:
            coordinator = self._require_coordinator()
            # A SuperLink keeps its nodes in memory, so each run introduces them anew.
            known = [
                replace(site, node_id=coordinator.add_node(site.tenant, site.public_key))
                for site in sites
            ]
            _order(coordinator, RunOrder(run, federation, known))
        except (CoordinatorUnavailable, InvalidRequest):
            self._store.replace_run(replace(run, state="failed", reason="not_started"))
            raise
        return self._store.replace_run(replace(run, state="running"))

    def _check_start(
        self, federation: Federation, sites: list[Site], version: str, rounds: int
    ) -> None:
        if VERSION.match(version) is None:
            raise InvalidRequest("`version` must be 1 to 32 letters, digits, dots, dashes")
        if not 1 <= rounds <= MAX_ROUNDS:
            raise InvalidRequest(f"`rounds` must be 1 to {MAX_ROUNDS}")
        if len(sites) < federation.quorum:
            raise InvalidRequest("fewer sites than the quorum can take part")
        if self._registry.get_version(federation.tenant, federation.model, version) is not None:
            raise AlreadyExists("the version exists already")
        unfinished = [
            run
            for run in self._store.unfinished_runs(limit=PAGE)
            if (run.tenant, run.federation) == (federation.tenant, federation.name)
        ]
        if len(unfinished) >= MAX_UNFINISHED:
            raise LimitReached("runs of this federation are under way")

    def _find(self, call: Call, name: str) -> Federation:
        federation = self._store.get_federation(call.principal.tenant, name)
        if federation is None:
            raise NotFound
        return federation

    def _facts(self, federation: Federation) -> FederationFacts:
        return FederationFacts(
            tenant=self._guard.tenant(federation.tenant),
            name=federation.name,
            sites=frozenset(federation.sites),
        )

    def _require_coordinator(self) -> Coordinator:
        if self._coordinator is None:
            raise CoordinatorUnavailable("federation is switched off on this gateway")
        return self._coordinator


def _order(coordinator: Coordinator, order: RunOrder) -> None:
    """Start a run; the coordinator is the first to know the settings of a task."""
    try:
        coordinator.start(order)
    except InvalidRequest as refused:
        raise InvalidRequest("the federation's `task` or `config` is not acceptable") from refused


def _check_plan(plan: Plan) -> None:
    for field, value in (("name", plan.name), ("model", plan.model), ("task", plan.task)):
        if NAME.match(value) is None:
            raise InvalidRequest(f"`{field}` must be 1 to 63 of a-z, 0-9, dot, dash, underscore")
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
