"""Federations, sites and runs in memory: for tests and tools, with every promise but durability."""

from __future__ import annotations

import threading
from dataclasses import replace

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists, StateConflict
from gateway.federation.records import Federation, Run, Site
from gateway.storage.bounds import check_key, check_record


class MemoryFederationStore:
    """`gateway.federation.ports.FederationStore`."""

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

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        count = 0
        with self._lock:
            for key, federation in self._federations.items():
                held = federation.calibration if key[0] == tenant else None
                if held is not None and (fresh := change(held)) != held:
                    self._federations[key] = replace(federation, calibration=fresh)
                    count += 1
        return count

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

    def unfinished_runs(self, *, after: str, limit: int) -> list[Run]:
        """See the port."""
        check_key(after)
        return [run for run in self._unfinished() if run.id > after][:limit]

    def unfinished_of(self, tenant: str, federation: str, *, limit: int) -> list[Run]:
        """See the port."""
        check_key(tenant, federation)
        mine = (tenant, federation)
        return [run for run in self._unfinished() if (run.tenant, run.federation) == mine][:limit]

    def _unfinished(self) -> list[Run]:
        with self._lock:
            going = [run for run in self._runs.values() if run.state not in ("finished", "failed")]
        return sorted(going, key=lambda run: run.id)
