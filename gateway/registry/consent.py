"""What a sharing lets another tenant reach, and by which name. Decides on values; reads a registry.

Safety argument.
1. A name has one meaning: `model` is the caller's own, `owner~model` another tenant's, and there is
   no third form. A tenant does not reach its own models by the second one. So no sharing shadows a
   model, and nothing that decodes, folds or trims a name makes one into the other.
2. Another tenant's model is reached by a sharing that both consented to and that has not ended
   (`stands`), and only then: without one, nothing is read that depends on the model.
3. A sharing is of the model that was offered. One that was registered later under the same name is
   another model and inherits nothing.
4. Only versions that it covers are reached, each time as they are now (`covers`). What may be done
   with them is decided by the policies of both tenants, which see the terms (`registry.facts`).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.names import is_name, split_shared
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion, Sharing


def ended(sharing: Sharing, now: float) -> bool:
    """Tell whether a sharing has ended by itself."""
    return sharing.until is not None and now >= sharing.until


def stands(sharing: Sharing, model: Model, now: float) -> bool:
    """Tell whether both sides consent to share this very model at this time (claims 2 and 3)."""
    return (
        sharing.accepted is not None
        and not ended(sharing, now)
        and (sharing.owner, sharing.model) == (model.tenant, model.name)
        and sharing.offered >= model.created
    )


def covers(sharing: Sharing, version: ModelVersion) -> bool:
    """Tell whether a version, as it is now, is among those that are shared."""
    if sharing.versions:
        return version.version in sharing.versions
    return version.state == "released"


def is_reachable(name: str) -> bool:
    """Tell whether a text can be the name of a model for anybody."""
    return is_name(name) or split_shared(name) is not None


def reach(registry: Registry, tenant: str, name: str, now: float) -> Model | None:
    """Return the model that a tenant means by a name, or None. Blocks.

    Args:
        registry: Where models are.
        tenant: Who asks.
        name: `model` for its own, `owner~model` for one that is shared with it.
        now: Unix seconds.
    """
    if is_name(name):
        return registry.get_model(tenant, name)
    parts = split_shared(name)
    if parts is None or parts[0] == tenant:
        return None
    sharing = registry.get_sharing(*parts, tenant)
    if sharing is None or sharing.accepted is None:
        return None
    model = registry.get_model(*parts)
    if model is None or not stands(sharing, model, now):
        return None
    return replace(model, sharings=frozenset({sharing}), lent=sharing)


def reach_version(registry: Registry, model: Model, version: str) -> ModelVersion | None:
    """Return a version of a model that `reach` returned, unless it is not shared. Blocks."""
    found = registry.get_version(model.tenant, model.name, version)
    if found is None or (model.lent is not None and not covers(model.lent, found)):
        return None
    return found
