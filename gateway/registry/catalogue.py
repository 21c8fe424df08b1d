"""Look-ups in the registry, where absent and forbidden look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import InvalidRequest, NotFound
from gateway.names import NAME
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, Release

PAGE: Final = 100
"""Most records of one answer: some kilobytes each."""
DATA_CLASSES: Final = frozenset({"public", "internal", "confidential", "health", "biometric"})
MAX_SHARED: Final = 64
"""Tenants that one model is shared with: each is an entity of every decision about it."""


class Catalogue:
    """What callers may know of models.

    Args:
        registry: The store.
        guard: Decides and records.
        changed: Raises the epoch under which routes and decisions are remembered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        guard: Guard,
        *,
        changed: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._guard = guard
        self._changed = changed
        self._clock = clock

    def create_model(
        self, call: Call, name: str, *, personal: bool, data_class: str, shared_with: frozenset[str]
    ) -> Model:
        """Register a name.

        Raises:
            InvalidRequest: A field breaks its rule.
            AlreadyExists: The name is taken.
            Forbidden: Policy says no.
        """
        if NAME.match(name) is None:
            raise InvalidRequest("`name` must be 1 to 63 of a-z, 0-9, dot, dash, underscore")
        if data_class not in DATA_CLASSES:
            raise InvalidRequest(f"`data_class` must be one of {', '.join(sorted(DATA_CLASSES))}")
        _check_shared(shared_with)
        model = Model(
            tenant=call.principal.tenant,
            name=name,
            personal=personal,
            data_class=data_class,
            shared_with=shared_with - {call.principal.tenant},
            created=int(self._clock()),
            created_by=call.principal.client_id,
        )
        facts = self._guard.model(model)
        self._guard.permit(call, "uploadArtifact", facts, model_id=name, reason="register_model")
        self._registry.add_model(model)
        return model

    def share(self, call: Call, name: str, shared_with: frozenset[str]) -> Model:
        """Replace the list of tenants that may use a model.

        Raises:
            NotFound: The model is absent.
            Forbidden: Policy says no.
        """
        _check_shared(shared_with)
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            raise NotFound
        facts = self._guard.model(model)
        decision = self._guard.require(call, "uploadArtifact", facts, model_id=name, reason="share")
        fresh = replace(model, shared_with=shared_with - {model.tenant})
        with self._guard.witness(
            call, "uploadArtifact", facts, decision, model_id=name, reason="share"
        ):
            self._registry.set_shared_with(model.tenant, name, fresh.shared_with)
            self._changed()
        return fresh

    def model(self, call: Call, name: str) -> Model:
        """Return a model of the caller's tenant.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            raise NotFound
        if not self._guard.may_read(call, self._guard.model(model)):
            raise NotFound
        return model

    def models(self, call: Call, *, after: str, limit: int) -> tuple[list[Model], str | None]:
        """Return the models of the caller's tenant that it may read, and the next cursor."""
        page = self._registry.list_models(call.principal.tenant, after=after, limit=limit)
        readable = [model for model in page if self._guard.may_read(call, self._guard.model(model))]
        return readable, page[-1].name if len(page) == limit else None

    def version(self, call: Call, name: str, version: str) -> tuple[Model, ModelVersion]:
        """Return a model of the caller's tenant and one of its versions.

        Raises:
            NotFound: Absent, or not for this caller.
        """
        model, found = self.find(call, name, version)
        if not self._guard.may_read(call, self._guard.version(model, found)):
            raise NotFound
        return model, found

    def find(self, call: Call, name: str, version: str) -> tuple[Model, ModelVersion]:
        """Return model and version of the caller's tenant undecided: the use case decides next.

        Raises:
            NotFound: Absent.
        """
        model = self._registry.get_model(call.principal.tenant, name)
        found = self._registry.get_version(call.principal.tenant, name, version)
        if model is None or found is None:
            raise NotFound
        return model, found

    def versions(
        self, call: Call, name: str, *, after: str, limit: int
    ) -> tuple[list[ModelVersion], str | None]:
        """Return the versions of a model that the caller may read, and the next cursor.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self.model(call, name)
        page = self._registry.list_versions(model.tenant, name, after=after, limit=limit)
        readable = [
            version
            for version in page
            if self._guard.may_read(call, self._guard.version(model, version))
        ]
        return readable, page[-1].version if len(page) == limit else None

    def current(self, call: Call, name: str) -> Release | None:
        """Return what is served by default, or None.

        Raises:
            NotFound: The model is absent, or not for this caller.
        """
        model = self.model(call, name)
        return self._registry.current(model.tenant, name)


def _check_shared(shared_with: frozenset[str]) -> None:
    if len(shared_with) > MAX_SHARED or any(NAME.match(other) is None for other in shared_with):
        raise InvalidRequest("`shared_with` must be up to 64 tenant ids")
