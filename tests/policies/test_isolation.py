from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    PolicySetFacts,
    ServiceFacts,
    SiteFacts,
    SubjectFacts,
    TenantFacts,
    UserFacts,
    VerdictFacts,
)
from tests.policies.world import PERMIT_ALL, RESOURCES, engine_with

ENGINE = engine_with(acme=PERMIT_ALL, other=PERMIT_ALL)

words = st.frozensets(st.sampled_from(["care", "research", "billing"]))
roles = st.frozensets(
    st.sampled_from(["caller", "owner", "officer", "site", "convenor", "administrator"])
)
names = st.sampled_from(["ecg", "acme", "other"])
shares = st.frozensets(st.sampled_from(["acme", "other", "third"]))


NOWHERE = TenantFacts(id="nowhere", region="eu", suspended=False, purposes=frozenset())
"""Stands for a tenant that is drawn: a strategy that is made anew in each example costs more than
all that is decided in it."""


@cache
def tenants(tenant_id: str) -> st.SearchStrategy[TenantFacts]:
    return st.builds(
        TenantFacts,
        id=st.just(tenant_id),
        region=st.sampled_from(["eu", "us"]),
        suspended=st.booleans(),
        purposes=words,
        require_binding=st.booleans(),
    )


_tenant = st.just(NOWHERE)
_site = st.builds(SiteFacts, tenant=_tenant, name=names, revoked=st.booleans())
_service = st.builds(
    ServiceFacts, id=names, tenant=_tenant, roles=roles, purposes=words, site=st.none() | _site
)
_principals = _service | st.builds(UserFacts, id=names, tenant=_tenant, roles=roles, purposes=words)
_data_class = st.sampled_from(["internal", "special"])
_resources = st.one_of(
    _tenant,
    st.builds(PlatformFacts, tenant=_tenant),
    st.builds(
        ModelFacts,
        tenant=_tenant,
        name=names,
        personal=st.booleans(),
        data_class=_data_class,
        shared_with=shares,
    ),
    st.builds(
        ModelVersionFacts,
        tenant=_tenant,
        model=names,
        version=st.just("1"),
        stage=st.sampled_from(["released", "candidate", "retired"]),
        signed=st.booleans(),
        personal=st.booleans(),
        data_class=_data_class,
        shared_with=shares,
    ),
    st.builds(FederationFacts, tenant=_tenant, name=names, sites=st.frozensets(names)),
    st.builds(AuditLogFacts, tenant=_tenant),
    st.builds(PolicySetFacts, tenant=_tenant),
    st.builds(SubjectFacts, tenant=_tenant, ref=names, legal_hold=st.booleans()),
)


def _moved(facts: Any, home: TenantFacts) -> Any:
    if facts is NOWHERE:
        return home
    if isinstance(facts, ServiceFacts) and facts.site is not None:
        facts = replace(facts, site=replace(facts.site, tenant=home))
    return replace(facts, tenant=home)


def principals(home: TenantFacts) -> st.SearchStrategy[ServiceFacts | UserFacts]:
    return _principals.map(lambda facts: _moved(facts, home))


def resources(home: TenantFacts) -> st.SearchStrategy[object]:
    return _resources.map(lambda facts: _moved(facts, home))


contexts = st.builds(
    ContextFacts,
    scopes=st.frozensets(st.sampled_from(["infer", "models", "admin", "audit"])),
    binding=st.sampled_from(["none", "dpop"]),
    acr=st.integers(0, 3),
    auth_age=st.integers(0, 2000),
    region=st.sampled_from(["eu", "us"]),
    epoch=st.integers(0, 3),
    purpose=st.none() | st.sampled_from(["care", "research"]),
    verdict=st.none() | st.builds(VerdictFacts, outcome=st.sampled_from(["pass", "flag", "block"])),
    approvals=st.integers(0, 3),
    solo=st.booleans(),
)
SHAREABLE = ("infer", "releaseOutput", "readMetadata")


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_no_breadth_of_both_sets_opens_a_tenant_to_a_stranger(data: st.DataObject) -> None:
    home = data.draw(tenants("acme"))
    owner = data.draw(tenants("other"))
    principal = data.draw(principals(home))
    resource = data.draw(resources(owner))
    action = data.draw(st.sampled_from(sorted(RESOURCES)))
    decision = ENGINE.decide(principal, action, resource, data.draw(contexts))  # type: ignore[arg-type]
    if decision.allowed:
        assert action in SHAREABLE
        assert isinstance(resource, ModelVersionFacts)
        assert "acme" in resource.shared_with
        assert not owner.suspended
        assert not home.suspended


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_sharing_works_when_everything_else_is_in_order(data: st.DataObject) -> None:
    """The property above would hold of an engine that never allows: this one would not."""
    home = replace(data.draw(tenants("acme")), suspended=False, require_binding=False)
    owner = replace(data.draw(tenants("other")), suspended=False)
    principal = ServiceFacts(id="app", tenant=home, roles=data.draw(roles))
    resource = ModelVersionFacts(
        tenant=owner,
        model=data.draw(names),
        version="1",
        stage="released",
        signed=True,
        personal=False,
        data_class="internal",
        shared_with=data.draw(shares) | {"acme"},
    )
    assert ENGINE.decide(principal, "readMetadata", resource, data.draw(contexts)).allowed
