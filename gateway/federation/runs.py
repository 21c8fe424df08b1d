"""Training runs of a federation: started, looked at, followed.

INVARIANT: a run reaches only sites on the federation's allow-list that are not revoked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details, registered_purpose
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, LimitReached, NotFound
from gateway.federation.coordinator import Coordinator, RunEvent, RunOrder, present
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.facts import federation_resource
from gateway.federation.federations import Federations
from gateway.federation.ports import FederationStore
from gateway.federation.records import Federation, Run, Site
from gateway.federation.run_follower import RunFollower
from gateway.names import require_version
from gateway.registry.ports import Registry
from gateway.registry.states import is_taken

MAX_ROUNDS: Final = 1_000
MAX_UNFINISHED: Final = 4
"""Runs of one federation under way; each costs processes at every site."""
LOOK_AGAIN_SECONDS: Final = 60.0
"""Nobody knows when a run ends: its sites set the pace, and take minutes."""


class Runs:
    """What a convenor does with runs.

    Args:
        store: Where runs are kept.
        registry: Where the version of a result must not exist yet.
        federations: Looks federations and their sites up.
        guard: Decides.
        intents: Begin and end starts.
        coordinator: Runs the rounds; None when federation is off.
        follower: Follows each started run; None when federation is off.
        clock: Unix seconds.
        new_id: Gives run ids that ascend with time.
    """

    def __init__(
        self,
        store: FederationStore,
        registry: Registry,
        federations: Federations,
        guard: Guard,
        intents: Intents,
        coordinator: Coordinator | None,
        *,
        follower: RunFollower | None,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._registry = registry
        self._federations = federations
        self._guard = guard
        self._intents = intents
        self._coordinator = coordinator
        self._follower = follower
        self._clock = clock
        self._new_id = new_id
        intents.register(Kind("start_run", "startRound", _details, self._finish_start))

    def start(self, call: Call, federation: str, version: str, rounds: int) -> Run:
        """Start a run whose result is published as `version`.

        Raises:
            NotFound: The federation is absent, or not for this caller.
            InvalidRequest: A field breaks its rule, or fewer sites than the quorum are left.
            AlreadyExists: The version name is taken.
            CoordinatorUnavailable: The run could not be started; nothing runs.
        """
        found = self._federations.find(call, federation)
        facts = self._federations.facts(found)
        decision = self._guard.require(call, "startRound", facts)
        sites = [site for site in self._federations.sites(call, federation) if not site.revoked]
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
        row = {
            "federation": found.name,
            "run": run.id,
            "model": found.model,
            "version": version,
        }
        with self._intents.changing("start_run", found.tenant, row, by_call(call, decision)):
            run = self._launch(run, found, sites)
            self._follow(run)  # whether or not the result can be recorded
        return run

    def run(self, call: Call, federation: str, run_id: str) -> Run:
        """Return a run.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        self._federations.get(call, federation)
        run = self._store.get_run(call.principal.tenant, run_id)
        if run is None or run.federation != federation:
            raise NotFound
        return run

    def runs(self, call: Call, federation: str, *, after: str, limit: int) -> list[Run]:
        """Return the runs of a federation, oldest first.

        Raises:
            NotFound: The federation is absent, or not for this caller.
        """
        found = self._federations.get(call, federation)
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

    def _launch(self, run: Run, federation: Federation, sites: list[Site]) -> Run:
        self._store.add_run(run)
        try:
            coordinator = present(self._coordinator)
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
        require_version("version", version)
        if not 1 <= rounds <= MAX_ROUNDS:
            raise InvalidRequest(f"`rounds` must be 1 to {MAX_ROUNDS}")
        if len(sites) < federation.quorum:
            raise InvalidRequest("fewer sites than the quorum can take part")
        if is_taken(self._registry.get_version(federation.tenant, federation.model, version)):
            raise AlreadyExists("the version exists already")
        limit = MAX_UNFINISHED
        going = self._store.unfinished_of(federation.tenant, federation.name, limit=limit)
        if len(going) >= limit:
            busy = LimitReached("runs of this federation are under way")
            raise busy.again_in(LOOK_AGAIN_SECONDS)

    def _finish_start(self, pending: Pending) -> Settled:
        """A run that the coordinator was not known to have taken has not begun."""
        run = self._store.get_run(pending.tenant, pending.facts["run"])
        if run is not None and run.state == "starting":
            if self._coordinator is not None:
                with suppress(CoordinatorUnavailable):  # it is not there, and so is the run
                    self._coordinator.forget(run.id)
            self._store.replace_run(replace(run, state="failed", reason="not_started"))
            return UNDONE
        if run is None or run.reason == "not_started":
            return UNDONE
        self._follow(run)
        return FINISHED

    def _follow(self, run: Run) -> None:
        if self._follower is not None:
            self._follower.start(run)


def _order(coordinator: Coordinator, order: RunOrder) -> None:
    """Start a run; the coordinator is the first to know the settings of a task."""
    try:
        coordinator.start(order)
    except InvalidRequest as refused:
        raise InvalidRequest("the federation's `task` or `config` is not acceptable") from refused


def _details(pending: Pending) -> Details:
    facts = pending.facts
    return {
        "resource": federation_resource(pending.tenant, facts["federation"]),
        "model_id": facts["model"],
        "model_version": facts["version"],
    }
