"""Promotion and roll-back: the release pointer of a model moves, decided and recorded.

The one who published a version and the one who promotes it count as approvals; the platform's
four-eyes policy asks for two different ones outside the recorded solo mode. Who acts for the one
who published (`gateway.identity.delegation`) is no other one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest
from gateway.pages import PAGE
from gateway.registry.catalogue import Catalogue
from gateway.registry.errors import IllegalMove
from gateway.registry.facts import version_facts, version_resource
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, Release
from gateway.registry.states import PROMOTABLE, moved
from policies.engine import Decision


class Releases:
    """Moves release pointers.

    Args:
        registry: The store.
        catalogue: Looks models up.
        guard: Decides.
        intents: Begin and end changes.
        warm: Makes a version ready to answer; raises when it cannot be served.
        changed: Raises the epoch under which routes and decisions are remembered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        guard: Guard,
        intents: Intents,
        *,
        warm: Callable[[ModelVersion], None],
        changed: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._warm = warm
        self._registry = registry
        self._catalogue = catalogue
        self._guard = guard
        self._intents = intents
        self._changed = changed
        self._clock = clock
        intents.register(
            Kind("promote", "promote", _details, self._finish_move),
            Kind("rollback", "rollback", _details, self._finish_move),
            Kind("retire", "rollback", _details, self._finish_retire),
        )

    def promote(self, call: Call, name: str, version: str) -> Release:
        """Serve `version` by default from now on.

        Raises:
            NotFound: Absent, or not for this caller.
            Forbidden: Policy says no, for instance because a second person is missing.
            IllegalMove: The version is neither candidate nor released, or it is served already.
            SealgateError: It cannot be served; `warm` says why.
            StateConflict: Somebody else moved the pointer meanwhile.
        """
        model, found = self._catalogue.find(call, "promote", name, version)
        decision = self._decide(call, model, found, "promote")
        current = self._registry.current(model.tenant, name)
        return self._move(call, decision, found, current, "promote")

    def rollback(self, call: Call, name: str, version: str | None) -> Release:
        """Serve an earlier release again: `version`, or the one before the current one.

        Raises:
            NotFound: The model or version is absent, or not for this caller.
            Forbidden: Policy says no.
            IllegalMove: There is no earlier release, or the version was never released.
            StateConflict: Somebody else moved the pointer meanwhile.
        """
        model = self._catalogue.model(call, name)
        current = self._registry.current(model.tenant, name)
        target = version or (current.previous if current else None)
        if target is None:  # nothing is named that could be hidden
            raise IllegalMove("there is no earlier release")
        _, found = self._catalogue.find(call, "rollback", name, target)
        decision = self._decide(call, model, found, "rollback")
        if current is None:
            raise IllegalMove("there is no earlier release")
        if target == current.version:
            raise InvalidRequest("that version is served already")
        if found.state != "released":
            raise IllegalMove("a roll-back goes to a version that was released before")
        return self._move(call, decision, found, current, "rollback")

    def history(self, call: Call, name: str, *, after: int, limit: int) -> list[Release]:
        """Return what was served when, oldest first.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self._catalogue.model(call, name)
        return self._registry.releases(model.tenant, name, after=after, limit=min(limit, PAGE))

    def retire(self, call: Call, name: str, version: str) -> ModelVersion:
        """Take a version out of service for good.

        Raises:
            NotFound: Absent, or not for this caller.
            Forbidden: Policy says no.
            IllegalMove: It is the one that is served, or it cannot be retired from its state.
        """
        model, found = self._catalogue.find(call, "rollback", name, version)
        facts = version_facts(model, found, self._guard.tenant)
        decision = self._guard.require(
            call, "rollback", facts, reason="retire", model_id=name, model_version=version
        )
        current = self._registry.current(model.tenant, name)
        if current is not None and current.version == version:
            raise IllegalMove("roll back first: this version is served")
        retired = moved(found, "retired")
        changed = {"model": name, "version": version}
        with self._intents.changing("retire", model.tenant, changed, by_call(call, decision)):
            stored = self._registry.replace_version(retired)
            self._changed()
        return stored

    def _decide(
        self,
        call: Call,
        model: Model,
        version: ModelVersion,
        action: Literal["promote", "rollback"],
    ) -> Decision:
        facts = version_facts(model, version, self._guard.tenant)
        behind = {call.principal.client_id, *call.principal.acting_for}
        approvals = 1 if version.created_by in behind else 2
        return self._guard.require(
            call,
            action,
            facts,
            approvals=approvals,
            model_id=model.name,
            model_version=version.version,
        )

    def _move(
        self,
        call: Call,
        decision: Decision,
        version: ModelVersion,
        current: Release | None,
        action: Literal["promote", "rollback"],
    ) -> Release:
        if version.state not in PROMOTABLE:
            raise IllegalMove
        if current is not None and current.version == version.version:
            raise IllegalMove("the version is served already")
        self._warm(version)
        entry = Release(
            tenant=version.tenant,
            model=version.model,
            version=version.version,
            previous=current.version if current else None,
            action=action,
            by=call.principal.client_id,
            at=int(self._clock()),
        )
        changed = {
            "model": version.model,
            "version": version.version,
            "sequence": str(current.sequence + 1 if current else 1),
        }
        with self._intents.changing(action, version.tenant, changed, by_call(call, decision)):
            stored = self._registry.release(entry, expected=entry.previous)
            self._changed()
        return stored

    def _finish_move(self, pending: Pending) -> Settled:
        """Tell whether the move that was to be the next one is that one."""
        facts = pending.facts
        sequence = int(facts["sequence"])
        moves = self._registry.releases(pending.tenant, facts["model"], after=sequence - 1, limit=1)
        made = [(move.sequence, move.version, move.action) for move in moves]
        if made != [(sequence, facts["version"], pending.kind)]:
            return UNDONE
        self._changed()
        return FINISHED

    def _finish_retire(self, pending: Pending) -> Settled:
        facts = pending.facts
        version = self._registry.get_version(pending.tenant, facts["model"], facts["version"])
        if version is None or version.state != "retired":
            return UNDONE
        self._changed()
        return FINISHED


def _details(pending: Pending) -> Details:
    model, version = pending.facts["model"], pending.facts["version"]
    details: Details = {
        "model_id": model,
        "model_version": version,
        "resource": version_resource(pending.tenant, model, version),
    }
    if pending.kind == "retire":
        details["reason"] = "retire"
    return details
