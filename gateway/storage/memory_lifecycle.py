"""The stores of the use cases in memory: for tests and tools, with every promise but durability.

Records are copied on their way in and out, so nobody shares a mapping with the store.
"""

from __future__ import annotations

import threading
from copy import deepcopy
from dataclasses import replace

from gateway.lifecycle.errors import AlreadyExists, StateConflict
from gateway.lifecycle.records import (
    Federation,
    Model,
    ModelVersion,
    Pending,
    Release,
    Run,
    Site,
    Upload,
)
from gateway.storage.bounds import check_key, check_record


class MemoryRegistry:
    """`gateway.lifecycle.ports.Registry`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._models: dict[tuple[str, str], Model] = {}
        self._versions: dict[tuple[str, str, str], ModelVersion] = {}
        self._releases: dict[tuple[str, str], list[Release]] = {}

    def add_model(self, model: Model) -> None:
        """See the port."""
        check_key(model.tenant, model.name)
        _check_shares(model.tenant, model.name, model.shared_with)
        check_record(model)
        with self._lock:
            if (model.tenant, model.name) in self._models:
                raise AlreadyExists
            self._models[model.tenant, model.name] = model

    def get_model(self, tenant: str, name: str) -> Model | None:
        """See the port."""
        return self._models.get((tenant, name))

    def set_shared_with(self, tenant: str, name: str, shared_with: frozenset[str]) -> None:
        """See the port."""
        check_key(tenant, name)
        _check_shares(tenant, name, shared_with)
        with self._lock:
            model = self._models.get((tenant, name))
            if model is None:
                raise StateConflict
            self._models[tenant, name] = replace(model, shared_with=shared_with)

    def list_models(self, tenant: str, *, after: str, limit: int) -> list[Model]:
        """See the port."""
        check_key(tenant, after)
        with self._lock:
            keys = sorted(key for key in self._models if key[0] == tenant and key[1] > after)
            return [self._models[key] for key in keys[:limit]]

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
            if version is None or version.state not in ("candidate", "released"):
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


class MemoryUploadStore:
    """`gateway.lifecycle.ports.UploadStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def add_upload(self, upload: Upload) -> None:
        """See the port."""
        check_key(upload.id, upload.tenant)
        check_record(upload)
        with self._lock:
            if upload.id in self._uploads:
                raise AlreadyExists
            self._uploads[upload.id] = upload

    def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """See the port."""
        upload = self._uploads.get(upload_id)
        return upload if upload is not None and upload.tenant == tenant else None

    def list_uploads(self, tenant: str, *, after: str, limit: int) -> list[Upload]:
        """See the port."""
        check_key(tenant, after)
        with self._lock:
            mine = [u for u in self._uploads.values() if u.tenant == tenant and u.id > after]
        return sorted(mine, key=lambda upload: upload.id)[:limit]

    def remove_upload(self, tenant: str, upload_id: str) -> None:
        """See the port."""
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is not None and upload.tenant == tenant:
                del self._uploads[upload_id]

    def expired_uploads(self, now: int, *, limit: int) -> list[Upload]:
        """See the port."""
        with self._lock:
            expired = [upload for upload in self._uploads.values() if upload.expires <= now]
        return sorted(expired, key=lambda upload: (upload.expires, upload.id))[:limit]


class MemoryFederationStore:
    """`gateway.lifecycle.ports.FederationStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._federations: dict[tuple[str, str], Federation] = {}
        self._sites: dict[tuple[str, str], Site] = {}
        self._runs: dict[str, Run] = {}

    def add_federation(self, federation: Federation) -> None:
        """See the port."""
        check_key(federation.tenant, federation.name)
        check_record(federation)
        with self._lock:
            if (federation.tenant, federation.name) in self._federations:
                raise AlreadyExists
            self._federations[federation.tenant, federation.name] = federation

    def get_federation(self, tenant: str, name: str) -> Federation | None:
        """See the port."""
        return self._federations.get((tenant, name))

    def list_federations(self, tenant: str, *, after: str, limit: int) -> list[Federation]:
        """See the port."""
        check_key(tenant, after)
        with self._lock:
            keys = sorted(k for k in self._federations if k[0] == tenant and k[1] > after)
            return [self._federations[key] for key in keys[:limit]]

    def allow_site(self, tenant: str, federation: str, site: str) -> None:
        """See the port."""
        check_key(tenant, federation)
        check_key(site)
        with self._lock:
            known = self._federations.get((tenant, federation))
            if known is None:
                raise StateConflict
            if site not in known.sites:
                self._federations[tenant, federation] = replace(known, sites=(*known.sites, site))

    def add_site(self, site: Site) -> None:
        """See the port."""
        check_key(site.tenant, site.name)
        check_key(site.public_key)
        check_record(site)
        with self._lock:
            taken = any(known.public_key == site.public_key for known in self._sites.values())
            if taken or (site.tenant, site.name) in self._sites:
                raise AlreadyExists
            self._sites[site.tenant, site.name] = site

    def get_site(self, tenant: str, name: str) -> Site | None:
        """See the port."""
        return self._sites.get((tenant, name))

    def site_by_key(self, public_key: str) -> Site | None:
        """See the port."""
        with self._lock:
            return next((s for s in self._sites.values() if s.public_key == public_key), None)

    def revoke_site(self, tenant: str, name: str) -> None:
        """See the port."""
        check_key(tenant, name)
        with self._lock:
            site = self._sites.get((tenant, name))
            if site is None:
                raise StateConflict
            self._sites[tenant, name] = replace(site, revoked=True)

    def add_run(self, run: Run) -> None:
        """See the port."""
        check_key(run.id, run.tenant, run.federation)
        check_record(run)
        with self._lock:
            if run.id in self._runs:
                raise AlreadyExists
            self._runs[run.id] = replace(run, revision=0)

    def get_run(self, tenant: str, run_id: str) -> Run | None:
        """See the port."""
        run = self._runs.get(run_id)
        return run if run is not None and run.tenant == tenant else None

    def replace_run(self, run: Run) -> Run:
        """See the port."""
        check_key(run.id, run.tenant, run.federation)
        check_record(run)
        with self._lock:
            known = self.get_run(run.tenant, run.id)
            if known is None or known.revision != run.revision:
                raise StateConflict
            self._runs[run.id] = replace(run, revision=run.revision + 1)
            return self._runs[run.id]

    def list_runs(self, tenant: str, federation: str, *, after: str, limit: int) -> list[Run]:
        """See the port."""
        check_key(tenant, federation, after)
        with self._lock:
            mine = [
                r for r in self._runs.values() if (r.tenant, r.federation) == (tenant, federation)
            ]
        return sorted((run for run in mine if run.id > after), key=lambda run: run.id)[:limit]

    def unfinished_runs(self, *, limit: int) -> list[Run]:
        """See the port."""
        with self._lock:
            going = [run for run in self._runs.values() if run.state not in ("finished", "failed")]
        return sorted(going, key=lambda run: run.id)[:limit]


class MemoryPendingStore:
    """`gateway.lifecycle.ports.PendingStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, Pending] = {}

    def add_pending(self, pending: Pending) -> None:
        """See the port."""
        check_key(pending.id, pending.tenant)
        check_record(pending)
        with self._lock:
            if pending.id in self._pending:
                raise AlreadyExists
            self._pending[pending.id] = deepcopy(pending)

    def remove_pending(self, tenant: str, pending_id: str) -> None:
        """See the port."""
        with self._lock:
            pending = self._pending.get(pending_id)
            if pending is not None and pending.tenant == tenant:
                del self._pending[pending_id]

    def list_pending(self, *, limit: int) -> list[Pending]:
        """See the port."""
        with self._lock:
            ordered = sorted(self._pending.values(), key=lambda pending: (pending.at, pending.id))
            return deepcopy(ordered[:limit])


def _check_shares(tenant: str, name: str, shared_with: frozenset[str]) -> None:
    for other in shared_with:
        check_key(tenant, name, other)
