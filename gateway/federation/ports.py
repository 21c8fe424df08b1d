"""What federations ask of storage; the promises of `gateway.registry.ports` hold here too."""

from __future__ import annotations

from typing import Protocol

from gateway.artifacts.upload import Rewrap
from gateway.federation.records import Federation, Run, Site


class FederationStore(Protocol):
    """Federations, sites and runs."""

    def add_federation(self, federation: Federation) -> None:
        """Put a federation; key (tenant, name)."""

    def get_federation(self, tenant: str, name: str) -> Federation | None:
        """The federation, or None."""

    def list_federations(self, tenant: str, *, after: str, limit: int) -> list[Federation]:
        """Federations of one tenant by name."""

    def allow_site(self, tenant: str, federation: str, site: str) -> None:
        """Append a site's name to the allow-list, atomically; nothing happens when it is there.

        Raises:
            StateConflict: The federation is absent.
        """

    def add_site(self, site: Site) -> None:
        """Put a site; key (tenant, name), and the public key is unique over all tenants."""

    def get_site(self, tenant: str, name: str) -> Site | None:
        """The site, or None."""

    def site_by_key(self, public_key: str) -> Site | None:
        """The site of any tenant that holds exactly this public key, or None."""

    def revoke_site(self, tenant: str, name: str) -> None:
        """Mark it revoked, for ever; raises `StateConflict` when absent."""

    def add_run(self, run: Run) -> None:
        """Put a run at revision 0; key id."""

    def get_run(self, tenant: str, run_id: str) -> Run | None:
        """The run of that tenant, or None."""

    def replace_run(self, run: Run) -> Run:
        """Compare and set by revision (promise 4)."""

    def list_runs(self, tenant: str, federation: str, *, after: str, limit: int) -> list[Run]:
        """Runs of a federation by id (ids ascend with time)."""

    def unfinished_runs(self, *, after: str, limit: int) -> list[Run]:
        """Runs of every tenant by id whose state is neither `finished` nor `failed`."""

    def unfinished_of(self, tenant: str, federation: str, *, limit: int) -> list[Run]:
        """Such runs of one federation by id."""

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """Wrap file keys anew; see `gateway.artifacts.upload.HoldsWrappedKeys`."""
