"""What policy may know of models. Pure."""

from __future__ import annotations

from collections.abc import Callable

from gateway.registry.records import Model, ModelVersion
from policies.facts import ModelFacts, ModelVersionFacts, TenantFacts

TenantOf = Callable[[str], TenantFacts]
"""Tenant id → its facts: `gateway.authorization.guard.Guard.tenant`."""


def model_resource(tenant: str, model: str) -> str:
    """Return how events name a model."""
    return f"Model::{tenant}/{model}"


def version_resource(tenant: str, model: str, version: str) -> str:
    """Return how events name a version of a model."""
    return f"ModelVersion::{tenant}/{model}@{version}"


def model_facts(model: Model, tenant: TenantOf) -> ModelFacts:
    """Return the facts of a model's name."""
    return ModelFacts(
        tenant=tenant(model.tenant),
        name=model.name,
        personal=model.personal,
        data_class=model.data_class,
        shared_with=model.shared_with,
    )


def version_facts(model: Model, version: ModelVersion, tenant: TenantOf) -> ModelVersionFacts:
    """Return the facts of a version; it counts as signed when its link was made."""
    return ModelVersionFacts(
        tenant=tenant(model.tenant),
        model=model.name,
        version=version.version,
        stage=version.state,
        signed=bool(version.link) and bool(version.owner_bundle),
        personal=model.personal,
        data_class=model.data_class,
        shared_with=model.shared_with,
    )
