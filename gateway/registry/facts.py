"""What policy may know of models. Pure.

1. Facts of a model that was reached by a sharing name the tenant that it is shared with and the
   terms, and no other tenant that the model is shared with.
2. The owner's own facts name every tenant that accepted: for the owner's policies, who never decide
   about another tenant by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.names import split_shared
from gateway.registry.consent import covers
from gateway.registry.records import Model, ModelVersion, Sharing
from policies.facts import ModelFacts, ModelVersionFacts, TenantFacts

TenantOf = Callable[[str], TenantFacts]
"""Tenant id → its facts: `gateway.authorization.guard.Guard.tenant`."""


def model_resource(tenant: str, model: str) -> str:
    """Return how events name a model, by the name that a tenant has for it."""
    owner, name = split_shared(model) or (tenant, model)
    return f"Model::{owner}/{name}"


def version_resource(tenant: str, model: str, version: str) -> str:
    """Return how events name a version of a model, by the name that a tenant has for it."""
    owner, name = split_shared(model) or (tenant, model)
    return f"ModelVersion::{owner}/{name}@{version}"


def model_facts(model: Model, tenant: TenantOf) -> ModelFacts:
    """Return the facts of a model's name."""
    accepted = _accepted(model)
    return ModelFacts(
        tenant=tenant(model.tenant),
        name=model.name,
        personal=model.personal,
        data_class=model.data_class,
        shared_with=_tenants(accepted),
    )


def version_facts(model: Model, version: ModelVersion, tenant: TenantOf) -> ModelVersionFacts:
    """Return the facts of a version; it counts as signed when its link was made."""
    covering = [sharing for sharing in _accepted(model) if covers(sharing, version)]
    lent = model.lent
    return ModelVersionFacts(
        tenant=tenant(model.tenant),
        model=model.name,
        version=version.version,
        stage=version.state,
        signed=bool(version.link) and bool(version.owner_bundle),
        personal=model.personal,
        data_class=model.data_class,
        shared_with=_tenants(one for one in covering if one.infer),
        delivered_to=_tenants(one for one in covering if one.download),
        agreed_purposes=lent.purposes if lent is not None and lent.purposes else None,
    )


def _accepted(model: Model) -> list[Sharing]:
    return [sharing for sharing in model.sharings if sharing.accepted is not None]


def _tenants(sharings: Iterable[Sharing]) -> frozenset[str]:
    return frozenset(sharing.tenant for sharing in sharings)
