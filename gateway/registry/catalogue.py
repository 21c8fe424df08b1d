"""Look-ups in the registry, where absent and forbidden look the same.

A name is the caller's own model, or `owner~model` for one that is shared with its tenant
(`gateway.registry.consent`). Versions of the latter can be read and handed out; what changes a
model, and its history, is its owner's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, NotFound
from gateway.names import require_name, split_shared
from gateway.pages import every, visible
from gateway.registry.consent import covers, reach, reach_version
from gateway.registry.facts import model_facts, model_resource, version_facts
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, Release

DATA_CLASSES: Final = frozenset({"public", "internal", "confidential", "health", "biometric"})

LENT: Final = frozenset({"downloadArtifact"})
"""What may be done to a version that was reached by a sharing, beside reading about it."""


class Catalogue:
    """What callers may know of models.

    Args:
        registry: The store.
        guard: Decides.
        intents: Begin and end changes.
        changed: Raises the epoch under which routes and decisions are remembered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        guard: Guard,
        intents: Intents,
        *,
        changed: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._guard = guard
        self._intents = intents
        self._changed = changed
        self._clock = clock
        intents.register(
            Kind("register_model", "uploadArtifact", _details, self._finish_register),
        )

    def create_model(self, call: Call, name: str, *, personal: bool, data_class: str) -> Model:
        """Register a name.

        Raises:
            InvalidRequest: A field breaks its rule.
            AlreadyExists: The name is taken.
            Forbidden: Policy says no.
        """
        require_name("name", name)
        if data_class not in DATA_CLASSES:
            raise InvalidRequest(f"`data_class` must be one of {', '.join(sorted(DATA_CLASSES))}")
        model = Model(
            tenant=call.principal.tenant,
            name=name,
            personal=personal,
            data_class=data_class,
            sharings=frozenset(),
            created=int(self._clock()),
            created_by=call.principal.client_id,
        )
        facts = model_facts(model, self._guard.tenant)
        decision = self._guard.require(
            call, "uploadArtifact", facts, new=True, model_id=name, reason="register_model"
        )
        if self._registry.get_model(model.tenant, name) is not None:
            raise AlreadyExists  # before the intent: its finisher takes what is there for its own
        by = by_call(call, decision)
        with self._intents.changing("register_model", model.tenant, {"model": name}, by):
            self._registry.add_model(model)
            self._changed()
        return model

    def _finish_register(self, pending: Pending) -> Settled:
        if self._registry.get_model(pending.tenant, pending.facts["model"]) is None:
            return UNDONE
        self._changed()
        return FINISHED

    def model(self, call: Call, name: str) -> Model:
        """Return a model of the caller's tenant.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        model = self._registry.get_model(call.principal.tenant, name)
        facts = model_facts(model, self._guard.tenant) if model is not None else None
        if not self._guard.may_read(call, facts) or model is None:
            raise NotFound
        return model

    def models(self, call: Call, *, after: str, limit: int) -> tuple[list[Model], str | None]:
        """Return the models of the caller's tenant that it may read, and the next cursor."""
        tenant = call.principal.tenant

        def page(after: str, limit: int) -> list[Model]:
            return self._registry.list_models(tenant, after=after, limit=limit)

        def may_see(model: Model) -> bool:
            return self._guard.may_read(call, model_facts(model, self._guard.tenant))

        return visible(page, lambda model: model.name, after, limit, may_see)

    def version(self, call: Call, name: str, version: str) -> tuple[Model, ModelVersion]:
        """Return a model and one of its versions.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        both = self._both(call, name, version)
        facts = version_facts(*both, self._guard.tenant) if both is not None else None
        if not self._guard.may_read(call, facts) or both is None:
            raise NotFound
        return both

    def find(self, call: Call, action: str, name: str, version: str) -> tuple[Model, ModelVersion]:
        """Return model and version undecided: the use case decides next.

        Args:
            call: Who asks.
            action: What will be decided.
            name: Model name.
            version: Version name.

        Raises:
            NotFound: Absent, which was recorded.
        """
        both = self._both(call, name, version)
        if both is None or (both[0].lent is not None and action not in LENT):
            self._guard.absent(call, action)
        return both

    def _both(self, call: Call, name: str, version: str) -> tuple[Model, ModelVersion] | None:
        model = self._reach(call, name)
        found = None if model is None else reach_version(self._registry, model, version)
        return None if model is None or found is None else (model, found)

    def _reach(self, call: Call, name: str) -> Model | None:
        return reach(self._registry, call.principal.tenant, name, self._clock())

    def versions(
        self, call: Call, name: str, *, after: str, limit: int
    ) -> tuple[list[ModelVersion], str | None]:
        """Return the versions of a model that the caller may read, and the next cursor.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self._lent(call, name) if split_shared(name) else self.model(call, name)

        def page(after: str, limit: int) -> list[ModelVersion]:
            return self._registry.list_versions(model.tenant, model.name, after=after, limit=limit)

        def may_see(version: ModelVersion) -> bool:
            if model.lent is not None and not covers(model.lent, version):
                return False
            return self._guard.may_read(call, version_facts(model, version, self._guard.tenant))

        return visible(page, lambda version: version.version, after, limit, may_see)

    def _lent(self, call: Call, name: str) -> Model:
        """Return a shared model of whose versions the caller may know one; else it is absent."""
        model = self._reach(call, name)
        covered = [] if model is None else self._covered(model)
        facts = [version_facts(model, one, self._guard.tenant) for one in covered if model]
        readable = [self._guard.may_read(call, one) for one in (*facts, None)]
        if model is None or not any(readable):
            raise NotFound
        return model

    def _covered(self, model: Model) -> list[ModelVersion]:
        """Return the versions of a shared model that are shared."""

        def page(after: str, limit: int) -> list[ModelVersion]:
            return self._registry.list_versions(model.tenant, model.name, after=after, limit=limit)

        every_one = every(page, lambda version: version.version, "")
        return [one for one in every_one if model.lent is not None and covers(model.lent, one)]

    def current(self, call: Call, name: str) -> Release | None:
        """Return what is served by default, or None.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self.model(call, name)
        return self._registry.current(model.tenant, name)


def _details(pending: Pending) -> Details:
    model = pending.facts["model"]
    return {
        "reason": pending.kind,
        "model_id": model,
        "resource": model_resource(pending.tenant, model),
    }
