"""A tenant at a glance, for the platform's administrators: what it has, and what it is near to.

Numbers and ids only. What a tenant's models are called, and what its policies say, is its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import NotFound
from gateway.identity.ports import ClientStore, TenantStore
from gateway.identity.records import Client, Tenant
from gateway.pages import every
from gateway.registry.ports import Registry, UploadStore
from gateway.registry.records import Model, ModelVersion, Upload
from gateway.registry.uploads import MAX_WAITING, MAX_WAITING_BYTES
from gateway.tenancy.key_list import KeyFacts, KeyList
from policies.ports import BundleStore

NEAR: Final = 0.8
"""From this part of a limit on an operator should look: a fifth is left."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that a tenant can use up."""

    name: str
    used: int
    most: int

    @property
    def near(self) -> bool:
        """Whether little of it is left."""
        return self.used >= NEAR * self.most


@dataclass(frozen=True, slots=True)
class Overview:
    """A tenant at a glance.

    Attributes:
        clients: How many are enabled, by role; one with two roles counts twice.
        disabled: How many clients are disabled.
        models: How many it has registered.
        versions: How many versions there are, by state.
        shares_with: How many of its models each other tenant may use.
        policy: Epoch, author and time of the policy set in force; None when there is none.
        keys: Of its log, its files and its releases.
        limits: What it can use up.
        rate_limit: Requests of each of its clients, as the setting has it.
    """

    tenant: Tenant
    clients: Mapping[str, int]
    disabled: int
    models: int
    versions: Mapping[str, int]
    shares_with: Mapping[str, int]
    policy: tuple[int, str, int] | None
    keys: Sequence[KeyFacts]
    limits: Sequence[Limit]
    rate_limit: str


class Overviews:
    """Looks tenants over.

    Args:
        tenants: Where tenants are kept.
        clients: Where clients are kept.
        registry: Where models are kept.
        uploads: Where uploads wait.
        bundles: Where policy sets are kept.
        keys: Tells of keys.
        more: Returns further limits of a tenant; blocks.
        rate_limit: The setting.
        guard: Decides and records.
    """

    def __init__(
        self,
        tenants: TenantStore,
        clients: ClientStore,
        registry: Registry,
        uploads: UploadStore,
        bundles: BundleStore,
        keys: KeyList,
        more: Callable[[str], Sequence[Limit]],
        rate_limit: str,
        guard: Guard,
    ) -> None:
        self._tenants = tenants
        self._clients = clients
        self._registry = registry
        self._uploads = uploads
        self._bundles = bundles
        self._keys = keys
        self._more = more
        self._rate_limit = rate_limit
        self._guard = guard

    def show(self, call: Call, tenant_id: str) -> Overview:
        """Look a tenant over. Blocks; recorded.

        Raises:
            NotFound: There is no such tenant.
            Forbidden: The caller is no administrator.
            EvidenceUnavailable: The look could not be recorded.
        """
        self._guard.require(call, "administer", self._guard.platform(), reason="show_tenant")
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            raise NotFound
        self._guard.permit(call, "administer", self._guard.tenant(tenant_id), reason="show_tenant")
        clients, models = list(self._clients_of(tenant_id)), list(self._models_of(tenant_id))
        enabled = [client for client in clients if not client.disabled]
        newest = self._bundles.latest(tenant_id)
        return Overview(
            tenant=tenant,
            clients=Counter(role for client in enabled for role in sorted(client.roles)),
            disabled=len(clients) - len(enabled),
            models=len(models),
            versions=Counter(v.state for model in models for v in self._versions_of(model)),
            shares_with=Counter(
                one.tenant for model in models for one in model.sharings if one.accepted is not None
            ),
            policy=None if newest is None else (newest.epoch, newest.author, newest.created),
            keys=self._keys.of_tenant(call, tenant_id),
            limits=[*self._waiting(tenant_id), *self._more(tenant_id)],
            rate_limit=self._rate_limit,
        )

    def _waiting(self, tenant: str) -> list[Limit]:
        def page(after: str, limit: int) -> Sequence[Upload]:
            return self._uploads.list_uploads(tenant, after=after, limit=limit)

        sizes = [upload.payload.length for upload in every(page, lambda upload: upload.id, "")]
        return [
            Limit("uploads_waiting", len(sizes), MAX_WAITING),
            Limit("upload_bytes_waiting", sum(sizes), MAX_WAITING_BYTES),
        ]

    def _clients_of(self, tenant: str) -> Iterable[Client]:
        def page(after: str, limit: int) -> Sequence[Client]:
            return self._clients.list(tenant, after or None, limit)

        return every(page, lambda client: client.id, "")

    def _models_of(self, tenant: str) -> Iterable[Model]:
        def page(after: str, limit: int) -> Sequence[Model]:
            return self._registry.list_models(tenant, after=after, limit=limit)

        return every(page, lambda model: model.name, "")

    def _versions_of(self, model: Model) -> Iterable[ModelVersion]:
        def page(after: str, limit: int) -> Sequence[ModelVersion]:
            return self._registry.list_versions(model.tenant, model.name, after=after, limit=limit)

        return every(page, lambda version: version.version, "")
