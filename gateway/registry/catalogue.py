"""Look-ups in the registry, where absent and forbidden look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, NotFound
from gateway.names import require_name
from gateway.pages import visible
from gateway.registry.facts import model_facts, model_resource, version_facts
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, Release
from gateway.registry.sharing import check_held, check_shared

DATA_CLASSES: Final = frozenset({"public", "internal", "confidential", "health", "biometric"})


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
            Kind("share", "uploadArtifact", _details, self._finish_share),
        )

    def create_model(
        self, call: Call, name: str, *, personal: bool, data_class: str, shared_with: frozenset[str]
    ) -> Model:
        """Register a name.

        Raises:
            InvalidRequest: A field breaks its rule.
            AlreadyExists: The name is taken.
            Forbidden: Policy says no.
        """
        require_name("name", name)
        if data_class not in DATA_CLASSES:
            raise InvalidRequest(f"`data_class` must be one of {', '.join(sorted(DATA_CLASSES))}")
        check_shared(shared_with)
        model = Model(
            tenant=call.principal.tenant,
            name=name,
            personal=personal,
            data_class=data_class,
            shared_with=shared_with - {call.principal.tenant},
            created=int(self._clock()),
            created_by=call.principal.client_id,
        )
        facts = model_facts(model, self._guard.tenant)
        decision = self._guard.require(
            call, "uploadArtifact", facts, new=True, model_id=name, reason="register_model"
        )
        check_held(call, self._guard, self._registry, decision, facts, model.shared_with)
        if self._registry.get_model(model.tenant, name) is not None:
            raise AlreadyExists  # before the intent: its finisher takes what is there for its own
        by = by_call(call, decision)
        with self._intents.changing("register_model", model.tenant, {"model": name}, by):
            self._registry.add_model(model)
            self._changed()
        return model

    def share(self, call: Call, name: str, shared_with: frozenset[str]) -> Model:
        """Replace the list of tenants that may use a model.

        Raises:
            NotFound: The model is absent.
            InvalidRequest: A tenant does not exist.
            Forbidden: Policy says no.
        """
        check_shared(shared_with)
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            self._guard.absent(call, "uploadArtifact")
        facts = model_facts(model, self._guard.tenant)
        decision = self._guard.require(call, "uploadArtifact", facts, model_id=name, reason="share")
        fresh = replace(model, shared_with=shared_with - {model.tenant})
        added = fresh.shared_with - model.shared_with
        check_held(call, self._guard, self._registry, decision, facts, added)
        changed = {"model": name, "shared_with": " ".join(sorted(fresh.shared_with))}
        with self._intents.changing("share", model.tenant, changed, by_call(call, decision)):
            self._registry.set_shared_with(model.tenant, name, fresh.shared_with)
            self._changed()
        return fresh

    def _finish_register(self, pending: Pending) -> Settled:
        if self._registry.get_model(pending.tenant, pending.facts["model"]) is None:
            return UNDONE
        self._changed()
        return FINISHED

    def _finish_share(self, pending: Pending) -> Settled:
        model = self._registry.get_model(pending.tenant, pending.facts["model"])
        wanted = frozenset(pending.facts["shared_with"].split())
        if model is None or model.shared_with != wanted:
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
        """Return a model of the caller's tenant and one of its versions.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        both = self._both(call, name, version)
        facts = version_facts(*both, self._guard.tenant) if both is not None else None
        if not self._guard.may_read(call, facts) or both is None:
            raise NotFound
        return both

    def find(self, call: Call, action: str, name: str, version: str) -> tuple[Model, ModelVersion]:
        """Return model and version of the caller's tenant undecided: the use case decides next.

        Args:
            call: Who asks.
            action: What will be decided.
            name: Model name.
            version: Version name.

        Raises:
            NotFound: Absent, which was recorded.
        """
        both = self._both(call, name, version)
        if both is None:
            self._guard.absent(call, action)
        return both

    def _both(self, call: Call, name: str, version: str) -> tuple[Model, ModelVersion] | None:
        model = self._registry.get_model(call.principal.tenant, name)
        found = self._registry.get_version(call.principal.tenant, name, version)
        return None if model is None or found is None else (model, found)

    def versions(
        self, call: Call, name: str, *, after: str, limit: int
    ) -> tuple[list[ModelVersion], str | None]:
        """Return the versions of a model that the caller may read, and the next cursor.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self.model(call, name)

        def page(after: str, limit: int) -> list[ModelVersion]:
            return self._registry.list_versions(model.tenant, name, after=after, limit=limit)

        def may_see(version: ModelVersion) -> bool:
            return self._guard.may_read(call, version_facts(model, version, self._guard.tenant))

        return visible(page, lambda version: version.version, after, limit, may_see)

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
