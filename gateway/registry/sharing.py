"""With whom a model may be shared: with tenants that exist.

Safety argument.
1. Nothing is granted to a name that nobody holds: whoever was given that name later would find the
   grant, and a typing error would be noticed when the partner calls, not when it is made.
2. Who may share a model learns of a name that it gives whether a tenant holds it, and of no other:
   there is no list of tenants, and what may have been meant is told out of the names that its own
   models are shared with already. The name of a tenant is an address, which partners give each
   other: the names of logs, kits and records have it. What a tenant has stays hidden from others.
3. Who may not share learns nothing: the decision comes first.
4. Asking about a name leaves a record, as a refused change of the model (`unknown_tenant`): trying
   names out is seen by the officers of whoever does it.
5. A name that the model is shared with already is not looked at again: a list of before stays a
   list that can be changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import InvalidRequest
from gateway.names import MAX_COMPARED, is_name, near
from gateway.pages import every
from gateway.registry.ports import Registry
from policies.engine import Decision
from policies.facts import ModelFacts

MAX_SHARED: Final = 64
"""Tenants that one model is shared with: each is an entity of every decision about it."""
UNKNOWN_TENANT: Final = "unknown_tenant"
"""Reason of the record of a refusal."""


def check_shared(shared_with: frozenset[str]) -> None:
    """Refuse what cannot be a list of tenants.

    Raises:
        InvalidRequest: It is too long, or holds what is no name.
    """
    if len(shared_with) > MAX_SHARED or not all(map(is_name, shared_with)):
        raise InvalidRequest("`shared_with` must be up to 64 tenant ids")


def check_held(
    call: Call,
    guard: Guard,
    registry: Registry,
    decision: Decision,
    about: ModelFacts,
    added: frozenset[str],
) -> None:
    """Refuse to share with a tenant that does not exist; see the safety argument.

    Args:
        call: Who asks.
        guard: Knows the tenants, and records.
        registry: Knows with whom other models are shared.
        decision: That the caller may share.
        about: The model.
        added: Names that the model is not shared with yet.

    Raises:
        InvalidRequest: One of them is no tenant.
        EvidenceUnavailable: The refusal could not be recorded.
    """
    absent = {tenant for tenant in added if not guard.has_tenant(tenant)}
    if not absent:
        return
    guard.record(
        call, "uploadArtifact", "deny", decision, about, model_id=about.name, reason=UNKNOWN_TENANT
    )
    partners = sorted(set(_partners(registry, about.tenant.id)))
    meant = dict.fromkeys(one for name in sorted(absent) for one in near(name, partners))
    raise InvalidRequest("`shared_with` names a tenant that does not exist").nearest(
        "shared_with", meant, known=added - absent
    )


def _partners(registry: Registry, tenant: str) -> Iterator[str]:
    """Yield the tenants that models of this one are shared with."""
    models = every(
        lambda after, limit: registry.list_models(tenant, after=after, limit=limit),
        lambda model: model.name,
        "",
    )
    for model in islice(models, MAX_COMPARED):
        yield from model.shared_with
