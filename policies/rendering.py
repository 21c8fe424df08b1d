"""Facts as Cedar's JSON: the slice of entities that one request needs, and its context.

1. The slice holds the principal, the resource, their tenants and the principal's site: nothing
   else is loaded, because one more entity among thousands costs far more than a decision.
2. Principal and resource are always in it: Cedar skips a `forbid` that looks for a missing one.
3. Two facts with the same id and different content are refused, not merged: which of them is stale
   cannot be known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    Facts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    PolicySetFacts,
    PrincipalFacts,
    ResourceFacts,
    ServiceFacts,
    SiteFacts,
    SubjectFacts,
    TenantFacts,
    Uid,
    UserFacts,
)

MAX_TEXT: Final = 4096
"""Characters of `purpose` and `recipient`, the two texts that come from the caller. A post-quantum
age recipient has about 2,000."""


class FactsConflict(ValueError):
    """The facts of one request contradict each other or are out of bounds."""


def parents(facts: Facts) -> tuple[Uid, ...]:
    """Return every ancestor of the entity, nearest first."""
    if isinstance(facts, TenantFacts):
        return ()
    if isinstance(facts, ModelVersionFacts):
        return (("Model", f"{facts.tenant.id}/{facts.model}"), facts.tenant.uid)
    return (facts.tenant.uid,)


def entity_slice(principal: PrincipalFacts, resource: ResourceFacts) -> str:
    """Return the entities of a request as a Cedar JSON document.

    Raises:
        FactsConflict: Two facts share an id and differ.
    """
    wanted: list[Facts] = [principal, principal.tenant, resource, resource.tenant]
    if isinstance(principal, ServiceFacts) and principal.site is not None:
        wanted += [principal.site, principal.site.tenant]
    chosen: dict[Uid, Facts] = {}
    for facts in wanted:
        if chosen.setdefault(facts.uid, facts) != facts:
            raise FactsConflict
    return json.dumps([_entity(facts) for facts in chosen.values()], separators=(",", ":"))


def context_of(context: ContextFacts, now: int) -> str:
    """Return the context as Cedar JSON.

    Args:
        context: The circumstances.
        now: Unix seconds.

    Raises:
        FactsConflict: A text of the caller is longer than `MAX_TEXT`, or `now` is no time.
    """
    for text in (context.purpose, context.recipient):
        if text is not None and len(text) > MAX_TEXT:
            raise FactsConflict
    try:
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError) as error:
        raise FactsConflict from error
    document: dict[str, Any] = {
        "scopes": sorted(context.scopes),
        "binding": context.binding,
        "acr": context.acr,
        "auth_age": context.auth_age,
        "region": context.region,
        "now": {"__extn": {"fn": "datetime", "arg": moment}},
        "approvals": context.approvals,
        "solo": context.solo,
        "four_eyes": context.four_eyes,
        "epoch": context.epoch,
    }
    if context.purpose is not None:
        document["purpose"] = context.purpose
    if context.recipient is not None:
        document["recipient"] = context.recipient
    if context.verdict is not None:
        document["verdict"] = {
            "outcome": context.verdict.outcome,
            "rules": sorted(context.verdict.rules),
        }
    return json.dumps(document, separators=(",", ":"))


def _uid(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}


def _reference(uid: Uid) -> dict[str, Any]:
    return {"__entity": _uid(uid)}


def _tenants(ids: Iterable[str]) -> list[dict[str, Any]]:
    return [_reference(("Tenant", tenant)) for tenant in sorted(ids)]


def _entity(facts: Facts) -> dict[str, Any]:
    return {
        "uid": _uid(facts.uid),
        "attrs": {"tenant": _reference(facts.tenant.uid), **_attributes(facts)},
        "parents": [_uid(parent) for parent in parents(facts)],
    }


def _attributes(facts: Facts) -> dict[str, Any]:
    match facts:
        case TenantFacts():
            return {
                "region": facts.region,
                "suspended": facts.suspended,
                "purposes": sorted(facts.purposes),
                "require_binding": facts.require_binding,
            }
        case ServiceFacts():
            site = {} if facts.site is None else {"site": _reference(facts.site.uid)}
            return {"roles": sorted(facts.roles), "purposes": sorted(facts.purposes), **site}
        case UserFacts():
            return {"roles": sorted(facts.roles), "purposes": sorted(facts.purposes)}
        case ModelFacts():
            return _model_attributes(facts)
        case ModelVersionFacts():
            return {
                "stage": facts.stage,
                "signed": facts.signed,
                "delivered_to": _tenants(facts.delivered_to),
                **_agreed(facts.agreed_purposes),
                **_model_attributes(facts),
            }
        case FederationFacts():
            home = facts.tenant.id
            return {"sites": [_reference(("Site", f"{home}/{n}")) for n in sorted(facts.sites)]}
        case SubjectFacts():
            return {"legal_hold": facts.legal_hold}
        case SiteFacts():
            return {"revoked": facts.revoked}
        case PlatformFacts() | AuditLogFacts() | PolicySetFacts():
            return {}


def _agreed(purposes: frozenset[str] | None) -> dict[str, Any]:
    return {} if purposes is None else {"agreed_purposes": sorted(purposes)}


def _model_attributes(facts: ModelFacts | ModelVersionFacts) -> dict[str, Any]:
    return {
        "personal": facts.personal,
        "data_class": facts.data_class,
        "shared_with": _tenants(facts.shared_with),
    }
