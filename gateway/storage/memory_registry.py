"""The registry in memory: for tests and tools, with every promise but durability.

Records are copied on their way in and out, so nobody shares a mapping with the store.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists, StateConflict
from gateway.registry.records import Model, ModelVersion, Release, Sharing
from gateway.registry.states import PROMOTABLE
from gateway.storage.bounds import check_key, check_record


class MemoryRegistry:
    """`gateway.registry.ports.Registry`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._models: dict[tuple[str, str], Model] = {}
        self._versions: dict[tuple[str, str, str], ModelVersion] = {}
        self._releases: dict[tuple[str, str], list[Release]] = {}

    def add_model(self, model: Model) -> None:
        """See the port."""
        check_key(model.tenant, model.name)
        _check_sharings(model.sharings)
        check_record(model)
        with self._lock:
            if (model.tenant, model.name) in self._models:
                raise AlreadyExists
            self._models[model.tenant, model.name] = model

    def get_model(self, tenant: str, name: str) -> Model | None:
        """See the port."""
        return self._models.get((tenant, name))

    def offer(self, sharing: Sharing) -> None:
        """See the port."""
        _check_sharings([sharing])
        with self._lock:
            self._put(sharing, self._sharing(sharing.owner, sharing.model, sharing.tenant))

    def get_sharing(self, owner: str, model: str, tenant: str) -> Sharing | None:
        """See the port."""
        with self._lock:
            return self._sharing(owner, model, tenant)

    def accept(self, sharing: Sharing) -> None:
        """See the port."""
        _check_sharings([sharing])
        with self._lock:
            known = self._sharing(sharing.owner, sharing.model, sharing.tenant)
            if known is None or known.id != sharing.id:
                raise StateConflict
            self._put(sharing, known)

    def end(self, sharing: Sharing) -> None:
        """See the port."""
        with self._lock:
            known = self._sharing(sharing.owner, sharing.model, sharing.tenant)
            if known is not None and known.id == sharing.id:
                self._put(None, known)

    def shared_to(self, tenant: str, *, after: tuple[str, str], limit: int) -> list[Sharing]:
        """See the port."""
        check_key(tenant, *after)
        with self._lock:
            every = [one for model in self._models.values() for one in model.sharings]
        found = [one for one in every if one.tenant == tenant and (one.owner, one.model) > after]
        return sorted(found, key=lambda one: (one.owner, one.model))[:limit]

    def _sharing(self, owner: str, model: str, tenant: str) -> Sharing | None:
        known = self._models.get((owner, model))
        offered = known.sharings if known is not None else ()
        return next((one for one in offered if one.tenant == tenant), None)

    def _put(self, fresh: Sharing | None, known: Sharing | None) -> None:
        about = fresh or known
        assert about is not None
        model = self._models.get((about.owner, about.model))
        if model is None:
            raise StateConflict
        others = {one for one in model.sharings if one.tenant != about.tenant}
        sharings = frozenset(others if fresh is None else {*others, fresh})
        self._models[model.tenant, model.name] = replace(model, sharings=sharings)

    def list_models(self, tenant: str, *, after: str, limit: int) -> list[Model]:
        """See the port."""
        check_key(tenant, after)
        with self._lock:
            keys = sorted(key for key in self._models if key[0] == tenant and key[1] > after)
            return [self._models[key] for key in keys[:limit]]

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        count = 0
        with self._lock:
            for key, version in self._versions.items():
                fresh = tuple(map(change, version.payloads)) if key[0] == tenant else ()
                if fresh and fresh != version.payloads:
                    self._versions[key] = replace(version, payloads=fresh)
                    count += 1
        return count

    def add_version(self, version: ModelVersion) -> None:
        """See the port."""
        key = (version.tenant, version.model, version.version)
        check_key(*key)
        check_record(version)
        with self._lock:
            if key[:2] not in self._models:
                raise StateConflict
            if key in self._versions:
                raise AlreadyExists
            self._versions[key] = deepcopy(replace(version, revision=0))

    def get_version(self, tenant: str, model: str, version: str) -> ModelVersion | None:
        """See the port."""
        return deepcopy(self._versions.get((tenant, model, version)))

    def replace_version(self, version: ModelVersion) -> ModelVersion:
        """See the port."""
        key = (version.tenant, version.model, version.version)
        check_key(*key)
        check_record(version)
        with self._lock:
            known = self._versions.get(key)
            if known is None or known.revision != version.revision:
                raise StateConflict
            stored = replace(version, revision=version.revision + 1)
            self._versions[key] = deepcopy(stored)
            return stored

    def list_versions(
        self, tenant: str, model: str, *, after: str, limit: int
    ) -> list[ModelVersion]:
        """See the port."""
        check_key(tenant, model, after)
        with self._lock:
            keys = [k for k in self._versions if k[:2] == (tenant, model) and k[2] > after]
            return deepcopy([self._versions[key] for key in sorted(keys)[:limit]])

    def current(self, tenant: str, model: str) -> Release | None:
        """See the port."""
        with self._lock:
            history = self._releases.get((tenant, model))
            return history[-1] if history else None

    def release(self, entry: Release, *, expected: str | None) -> Release:
        """See the port."""
        check_key(entry.tenant, entry.model, entry.version)
        check_record(entry)
        with self._lock:
            newest = self.current(entry.tenant, entry.model)
            version = self._versions.get((entry.tenant, entry.model, entry.version))
            if (None if newest is None else newest.version) != expected:
                raise StateConflict
            if version is None or version.state not in PROMOTABLE:
                raise StateConflict
            self.replace_version(replace(version, state="released"))
            history = self._releases.setdefault((entry.tenant, entry.model), [])
            stored = replace(entry, sequence=len(history) + 1)
            history.append(stored)
            return stored

    def releases(self, tenant: str, model: str, *, after: int, limit: int) -> list[Release]:
        """See the port."""
        check_key(tenant, model)
        with self._lock:
            history = self._releases.get((tenant, model), [])
            return [entry for entry in history if entry.sequence > after][:limit]


def _check_sharings(sharings: Iterable[Sharing]) -> None:
    for sharing in sharings:
        check_key(sharing.owner, sharing.model, sharing.tenant)
        check_record(sharing)
