"""Promotion and roll-back: the release pointer of a model moves, decided and recorded.

The one who published a version and the one who promotes it count as approvals; the platform's
four-eyes policy asks for two different ones outside the recorded solo mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import InvalidRequest
from gateway.registry.catalogue import PAGE, Catalogue
from gateway.registry.errors import IllegalMove
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, Release
from gateway.registry.states import moved

RELEASABLE: Final = frozenset({"candidate", "released"})


class Releases:
    """Moves release pointers.

    Args:
        registry: The store.
        catalogue: Looks models up.
        guard: Decides and records.
        changed: Raises the epoch under which routes and decisions are remembered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        guard: Guard,
        *,
        changed: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._guard = guard
        self._changed = changed
        self._clock = clock

    def promote(self, call: Call, name: str, version: str) -> Release:
        """Serve `version` by default from now on.

        Raises:
            NotFound: Absent, or not for this caller.
            Forbidden: Policy says no, for instance because a second person is missing.
            IllegalMove: The version is neither candidate nor released, or it is served already.
            StateConflict: Somebody else moved the pointer meanwhile.
        """
        model, found = self._catalogue.find(call, name, version)
        current = self._registry.current(model.tenant, name)
        if current is not None and current.version == version:
            raise IllegalMove("the version is served already")
        return self._move(call, model, found, current, "promote")

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
        if current is None or target is None:
            raise IllegalMove("there is no earlier release")
        if target == current.version:
            raise InvalidRequest("that version is served already")
        _, found = self._catalogue.find(call, name, target)
        if found.state != "released":
            raise IllegalMove("a roll-back goes to a version that was released before")
        return self._move(call, model, found, current, "rollback")

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
        model, found = self._catalogue.find(call, name, version)
        facts = self._guard.version(model, found)
        decision = self._guard.require(
            call, "rollback", facts, reason="retire", model_id=name, model_version=version
        )
        current = self._registry.current(model.tenant, name)
        if current is not None and current.version == version:
            raise IllegalMove("roll back first: this version is served")
        retired = moved(found, "retired")
        with self._guard.witness(
            call, "rollback", facts, decision, reason="retire", model_id=name, model_version=version
        ):
            stored = self._registry.replace_version(retired)
            self._changed()
        return stored

    def _move(
        self,
        call: Call,
        model: Model,
        version: ModelVersion,
        current: Release | None,
        action: Literal["promote", "rollback"],
    ) -> Release:
        facts = self._guard.version(model, version)
        approvals = len({version.created_by, call.principal.client_id})
        decision = self._guard.require(
            call,
            action,
            facts,
            approvals=approvals,
            model_id=model.name,
            model_version=version.version,
        )
        if version.state not in RELEASABLE:
            raise IllegalMove
        entry = Release(
            tenant=model.tenant,
            model=model.name,
            version=version.version,
            previous=current.version if current else None,
            action=action,
            by=call.principal.client_id,
            at=int(self._clock()),
        )
        with self._guard.witness(
            call,
            action,
            facts,
            decision,
            model_id=model.name,
            model_version=version.version,
        ):
            stored = self._registry.release(entry, expected=entry.previous)
            self._changed()
        return stored
